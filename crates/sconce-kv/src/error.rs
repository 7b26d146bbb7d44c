//! What can go wrong with blocks.

use sconce_domain::{BlockCount, SequenceId};

/// What can go wrong with blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Too few blocks are free. Give some back, then try again.
    #[error(
        "{sequence} wants {wanted} more KV blocks, {free} are free: release a sequence first",
        wanted = .wanted.0,
        free = .free.0
    )]
    Exhausted {
        /// Who wanted them.
        sequence: SequenceId,
        /// Blocks wanted beyond those held.
        wanted: BlockCount,
        /// Blocks that could be given.
        free: BlockCount,
    },
}
