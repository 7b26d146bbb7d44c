//! Why a sequence is not admitted.

use sconce_domain::{BlockCount, SequenceId};

/// Why a sequence is not admitted. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
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
    /// There is nothing to generate.
    #[error("{sequence} asks for no tokens: ask for at least one")]
    NothingAsked {
        /// The sequence.
        sequence: SequenceId,
    },
    /// Two sequences would have one name.
    #[error("{sequence} is in the engine already: give each sequence an id of its own")]
    DuplicateId {
        /// The sequence.
        sequence: SequenceId,
    },
}
