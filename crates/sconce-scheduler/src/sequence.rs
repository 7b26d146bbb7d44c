//! A sequence on its way through the engine.

use std::ops::Range;

use sconce_domain::{Priority, SequenceId, TenantId, TokenCount, TokenId, Weight};

use crate::Chunk;

/// A sequence that wants to be admitted.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its name, never used before.
    pub id: SequenceId,
    /// Whose cached prefixes it may share, and with whose sequences it shares what they are owed.
    pub tenant: TenantId,
    /// What its tenant is owed beside others from here on.
    pub weight: Weight,
    /// Sequences of a lower one go first.
    pub priority: Priority,
    /// The tokens to continue; never empty.
    pub prompt: Vec<TokenId>,
    /// Whether the probability of each token of the prompt is wanted. Then the whole prompt is
    /// computed, as the cache keeps no probabilities.
    pub scores_prompt: bool,
    /// Tokens it will generate at most.
    pub generated_max: TokenCount,
}

/// An admitted sequence.
#[derive(Debug)]
pub struct Sequence {
    pub(crate) id: SequenceId,
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
    /// Every known token: the prompt, then what was generated.
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) prompt_length: usize,
    /// Tokens at the front whose keys and values are in the sequence's blocks.
    pub(crate) computed: TokenCount,
    /// Tokens at the front from which the probability of the one after them is no longer wanted.
    pub(crate) scored: usize,
    /// Its place in the order of arrival.
    pub(crate) place: u64,
    pub(crate) has_started: bool,
}

impl Sequence {
    pub(crate) fn new(arrival: Arrival, place: u64) -> Self {
        Self {
            id: arrival.id,
            tenant: arrival.tenant,
            priority: arrival.priority,
            prompt_length: arrival.prompt.len(),
            scored: if arrival.scores_prompt {
                0
            } else {
                arrival.prompt.len()
            },
            tokens: arrival.prompt,
            computed: TokenCount(0),
            place,
            has_started: false,
        }
    }

    /// Every known token: the prompt, then what was generated.
    #[must_use]
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The tokens the client sent.
    #[must_use]
    pub fn prompt(&self) -> &[TokenId] {
        &self.tokens[..self.prompt_length]
    }

    /// The tokens drawn so far.
    #[must_use]
    pub fn generated(&self) -> &[TokenId] {
        &self.tokens[self.prompt_length..]
    }

    /// The positions of `chunk` whose logits tell the probability of the next token of the prompt,
    /// and have not told it before: none unless the prompt is scored.
    #[must_use]
    pub fn positions_to_score(&self, chunk: &Chunk) -> Range<usize> {
        let end = (chunk.end().0 as usize).min(self.prompt_length - 1);
        (chunk.start.0 as usize).max(self.scored).min(end)..end
    }

    /// The tokens of which a prefix may be adopted. What is still to be scored must be computed,
    /// whoever has computed it before.
    pub(crate) fn adoptable(&self) -> &[TokenId] {
        if self.is_to_be_scored() {
            &self.tokens[..=self.scored]
        } else {
            &self.tokens
        }
    }

    pub(crate) fn is_to_be_scored(&self) -> bool {
        self.scored + 1 < self.prompt_length
    }

    /// Sorts sequences by who gives way last: the most urgent, and of those the oldest.
    pub(crate) fn rank(&self) -> (Priority, u64) {
        (self.priority, self.place)
    }

    pub(crate) fn known(&self) -> TokenCount {
        TokenCount(self.tokens.len() as u32)
    }

    /// Known tokens not yet computed: never none, as catching up draws a token or ends it.
    pub(crate) fn behind(&self) -> TokenCount {
        TokenCount(self.known().0 - self.computed.0)
    }

    pub(crate) fn is_one_behind(&self) -> bool {
        self.behind() == TokenCount(1)
    }
}
