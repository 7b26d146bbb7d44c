//! One sequence's blocks.

use sconce_domain::BlockId;

use crate::chain::BlockKey;

/// One sequence's blocks, and the names of those that are full.
#[derive(Debug)]
pub(crate) struct Table {
    /// One for each group of layers.
    pub(crate) strands: Vec<Strand>,
    /// The key before the first block.
    pub(crate) root: BlockKey,
    /// The keys of the blocks at the front that are full and have gone through the cache, of those
    /// that were given back too.
    pub(crate) keys: Vec<BlockKey>,
}

/// What one group of layers holds of a sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strand {
    /// Blocks at the front that were given back, as the group's window has left them behind.
    pub(crate) first: u32,
    /// Those that follow, in order of position.
    pub(crate) blocks: Vec<BlockId>,
}

impl Table {
    /// The key of the last full block, or the root.
    pub(crate) fn tip(&self) -> BlockKey {
        self.keys.last().copied().unwrap_or(self.root)
    }
}

impl Strand {
    /// A strand whose first block has number `first` within the sequence.
    #[must_use]
    pub fn new(first: u32, blocks: Vec<BlockId>) -> Self {
        Self { first, blocks }
    }

    /// The number within the sequence of the first block that is held: those before it were given
    /// back, as no layer of the group will look at them again.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The blocks from the first that is held on, in order of position.
    #[must_use]
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// The number after that of the last block.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first + self.blocks.len() as u32
    }

    /// The block of that number within the sequence, if it is held.
    pub(crate) fn block(&self, number: u32) -> Option<BlockId> {
        let place = number.checked_sub(self.first)?;
        self.blocks.get(place as usize).copied()
    }

    /// Takes out the blocks from `end` on, with their numbers.
    pub(crate) fn cut(&mut self, end: u32) -> Vec<(u32, BlockId)> {
        let kept = end.saturating_sub(self.first) as usize;
        let numbers = end.max(self.first)..;
        let behind = self.blocks.split_off(kept.min(self.blocks.len()));
        numbers.zip(behind).collect()
    }

    /// Takes out the blocks before `first`, with their numbers.
    pub(crate) fn pass(&mut self, first: u32) -> Vec<(u32, BlockId)> {
        let passed = first.saturating_sub(self.first) as usize;
        let numbers = self.first..;
        self.first = self.first.max(first);
        let passed = self.blocks.drain(..passed.min(self.blocks.len()));
        numbers.zip(passed).collect()
    }
}
