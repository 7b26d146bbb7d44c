//! What the engine is told and what it tells. Both enums are closed.

use std::sync::Arc;

use sconce_domain::{
    Draw, FinishReason, Priority, Sampling, SequenceId, TenantId, TokenCount, TokenId,
    TokenLogprobs, Weight,
};

use crate::Constraint;

/// A wish from outside. Commands apply between steps, never within one.
#[derive(Debug)]
pub enum Command {
    /// Begin a sequence.
    Start(NewSequence),
    /// Forget a sequence and free what it holds. Unknown and ended sequences are ignored.
    Cancel(SequenceId),
    /// Give a sequence up that has not started, unless the next step starts it. Whoever has
    /// started goes on; unknown and ended sequences are ignored.
    Expire(SequenceId),
    /// Forget the end of an answer and go on from there.
    Rewind {
        /// The sequence; it must not have ended.
        sequence: SequenceId,
        /// Tokens that stay, the prompt among them: at least the prompt, at most all.
        position: TokenCount,
        /// How to draw from here on, if not as before. As before, the same tokens come again.
        sampling: Option<Sampling>,
    },
}

/// A sequence to begin.
#[derive(Debug)]
pub struct NewSequence {
    /// Its name, never used before.
    pub id: SequenceId,
    /// Whose cached prefixes it may share, and with whose sequences it shares what they are owed.
    pub tenant: TenantId,
    /// What its tenant is owed beside others from here on.
    pub weight: Weight,
    /// Sequences of a lower one go first, and take places from those of a higher one.
    pub priority: Priority,
    /// The tokens to continue; never empty.
    pub prompt: Vec<TokenId>,
    /// How to draw.
    pub sampling: Sampling,
    /// How many alternatives to report beside the probability of each token of the prompt, or
    /// `None` if the prompt is not scored.
    pub prompt_logprobs: Option<u8>,
    /// Whether a token that ends the answer and is no part of it is told too.
    pub tells_unsaid: bool,
    /// Ends the answer with `FinishReason::Length` after this many tokens. Zero only computes the
    /// prompt.
    pub generated_max: TokenCount,
    /// Tokens that end the answer with `FinishReason::Stop`. They are not part of it.
    pub stop_tokens: Arc<[TokenId]>,
    /// What its answer must look like, if it must. It has accepted nothing yet.
    pub constraint: Option<Box<dyn Constraint>>,
}

/// Something that happened to a sequence in a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Its first chunk was planned; this much of the prompt was found in the cache.
    Started {
        /// The sequence.
        sequence: SequenceId,
        /// Tokens of the prompt that need not be computed.
        cached: TokenCount,
    },
    /// The probabilities of the next tokens of its prompt, from the second token on: the first has
    /// nothing before it. Comes only if the prompt is scored, and for each token once.
    Scored {
        /// The sequence.
        sequence: SequenceId,
        /// One entry a token.
        scores: Vec<TokenLogprobs>,
    },
    /// The next token of its answer.
    Token {
        /// The sequence.
        sequence: SequenceId,
        /// The token.
        draw: Draw,
    },
    /// It drew a token that ends its answer and is no part of it. Comes only if that is to be told:
    /// whoever wants every probability wants this one as well.
    Unsaid {
        /// The sequence.
        sequence: SequenceId,
        /// The token.
        draw: Draw,
    },
    /// It was taken back: of all that was told, this much stands, and what is told from here on
    /// follows it.
    Rewound {
        /// The sequence.
        sequence: SequenceId,
        /// Tokens that stand, the prompt among them.
        position: TokenCount,
    },
    /// It was given up before its first step. Its last event then, in place of the end.
    Expired {
        /// The sequence.
        sequence: SequenceId,
    },
    /// It ended, and holds nothing any more. Always its last event.
    Ended {
        /// The sequence.
        sequence: SequenceId,
        /// Why.
        reason: FinishReason,
    },
}

impl Event {
    /// Whom it happened to.
    #[must_use]
    pub fn sequence(&self) -> SequenceId {
        match self {
            Self::Started { sequence, .. }
            | Self::Scored { sequence, .. }
            | Self::Token { sequence, .. }
            | Self::Unsaid { sequence, .. }
            | Self::Rewound { sequence, .. }
            | Self::Expired { sequence }
            | Self::Ended { sequence, .. } => *sequence,
        }
    }
}
