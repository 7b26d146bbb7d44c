//! A sequence on its way through the engine.

use sconce_domain::{Priority, SequenceId, TenantId, TokenCount, TokenId, Weight};

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
    /// Tokens it will generate at most; at least one.
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
