//! What a step is made of, and how far it may go.

use sconce_domain::{SequenceId, TokenCount, TokenId};

/// How far a step may go.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// Tokens that one step computes at most, over all sequences; at least one.
    pub step_tokens_max: TokenCount,
    /// Tokens of prompts that one step computes beside streams, and one more for each of them.
    /// So many as take no longer than a step takes whatever it holds: then streams go on at half
    /// their pace at worst.
    pub tokens_beside_streams: TokenCount,
    /// Sequences that run at the same time at most; at least one.
    pub running_max: u32,
}

/// The tokens of the next step.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "a planned step must be committed or abandoned"]
pub struct StepPlan {
    /// What to compute, one chunk a sequence.
    pub chunks: Vec<Chunk>,
    /// Sequences planned for the first time, with the prompt tokens found in the cache.
    pub started: Vec<(SequenceId, TokenCount)>,
    /// Sequences that gave their blocks back, the youngest first.
    pub preempted: Vec<SequenceId>,
}

/// Consecutive known tokens of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The sequence.
    pub sequence: SequenceId,
    /// The position of the first token.
    pub start: TokenCount,
    /// How many; at least one.
    pub tokens: TokenCount,
    /// Whether the chunk reaches the last known token, so that the next one can be drawn.
    pub draws: bool,
}

impl Chunk {
    /// The position after the last token.
    #[must_use]
    pub fn end(&self) -> TokenCount {
        TokenCount(self.start.0 + self.tokens.0)
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was computed, and there was nothing to draw.
    Computed,
    /// It was computed, and this is the next token.
    Next(TokenId),
    /// It was computed, and the sequence is over.
    Over,
}
