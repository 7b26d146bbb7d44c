//! Counts that must not be mixed up: tokens, blocks, and how many of one fill the other.

use std::num::NonZeroU32;

/// A number of tokens: never bytes, never blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TokenCount(pub u32);

/// A number of KV blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockCount(pub u32);

/// Tokens that one KV block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(NonZeroU32);

impl BlockSize {
    /// Returns `None` unless `tokens` is a power of two: slots are found by shift and mask.
    #[must_use]
    pub fn new(tokens: u32) -> Option<Self> {
        NonZeroU32::new(tokens)
            .filter(|it| it.is_power_of_two())
            .map(Self)
    }

    /// Tokens in one block.
    #[must_use]
    pub fn tokens(self) -> TokenCount {
        TokenCount(self.0.get())
    }

    /// Blocks that `tokens` fill, the last one possibly in part.
    #[must_use]
    pub fn blocks_for(self, tokens: TokenCount) -> BlockCount {
        BlockCount(tokens.0.div_ceil(self.0.get()))
    }

    /// Blocks that `tokens` fill to the brim.
    #[must_use]
    pub fn full_blocks_in(self, tokens: TokenCount) -> BlockCount {
        BlockCount(tokens.0 / self.0.get())
    }
}
