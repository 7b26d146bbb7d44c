//! Why a sequence is not admitted, or not rewound.

use sconce_domain::{BlockCount, SequenceId, TokenCount};

/// Why a sequence is not admitted, or not rewound. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchedulerError {
    /// It could never run, not even alone.
    #[error(
        "{sequence} may reach {tokens} tokens and so {wanted} KV blocks, but there are only \
         {total}: shorten the prompt, ask for fewer tokens or give the cache more memory",
        wanted = .wanted.0,
        total = .total.0
    )]
    TooLong {
        /// The sequence.
        sequence: SequenceId,
        /// Prompt and answer together.
        tokens: u64,
        /// Blocks it would hold in the end.
        wanted: BlockCount,
        /// Blocks in the pool.
        total: BlockCount,
    },
    /// There is nothing to continue.
    #[error("{sequence} has an empty prompt: send at least one token")]
    EmptyPrompt {
        /// The sequence.
        sequence: SequenceId,
    },
    /// Two sequences would have one name.
    #[error("{sequence} is in the engine already: give each sequence an id of its own")]
    DuplicateId {
        /// The sequence.
        sequence: SequenceId,
    },
    /// It has ended, was cancelled, or was never there.
    #[error("{sequence} is not in the engine, so nothing of it can be taken back")]
    NotHere {
        /// The sequence.
        sequence: SequenceId,
    },
    /// What the client sent is not the engine's to take back.
    #[error(
        "{sequence} cannot go back to {position} tokens, as its prompt has {prompt}: only what \
         was generated can be taken back",
        position = .position.0,
        prompt = .prompt.0
    )]
    RewindIntoPrompt {
        /// The sequence.
        sequence: SequenceId,
        /// Tokens that were to stay.
        position: TokenCount,
        /// Tokens of its prompt.
        prompt: TokenCount,
    },
    /// What has not been drawn yet cannot be kept.
    #[error(
        "{sequence} cannot go back to {position} tokens, as it has {known}: keep at most those",
        position = .position.0,
        known = .known.0
    )]
    RewindBeyondEnd {
        /// The sequence.
        sequence: SequenceId,
        /// Tokens that were to stay.
        position: TokenCount,
        /// Tokens it has, the prompt among them.
        known: TokenCount,
    },
}
