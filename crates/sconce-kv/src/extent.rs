//! Which blocks of a sequence a group of layers needs, by how far back it looks.

use sconce_domain::{BlockCount, BlockSize, KvGroups, Reach, TokenCount};

/// What all groups of layers must hold of a sequence, and so how long one can become.
#[derive(Debug, Clone)]
pub struct Extents {
    size: BlockSize,
    groups: Vec<Extent>,
}

impl Extents {
    /// What `groups` must hold of sequences that grow by at most `step_tokens_max` in a step.
    ///
    /// # Panics
    /// If there is no group of layers, or one that sees nothing.
    #[must_use]
    pub fn new(size: BlockSize, groups: KvGroups, step_tokens_max: TokenCount) -> Self {
        assert!(groups.count() > 0, "some layers must have blocks");
        assert!(
            groups.windowed == 0 || groups.window.0 > 0,
            "a layer sees its own position at least"
        );
        let extent = |reach| Extent::new(size, reach, step_tokens_max);
        Self {
            size,
            groups: groups.reaches().map(extent).collect(),
        }
    }

    /// Blocks that a sequence of `tokens` tokens holds at most, on its way to them and in the end.
    #[must_use]
    pub fn blocks_for(&self, tokens: TokenCount) -> BlockCount {
        let held = self.groups.iter().map(|it| it.end(0, tokens));
        BlockCount(held.fold(0, u32::saturating_add))
    }

    /// Tokens of the longest sequence that `total` blocks can hold, as far as its windows need it.
    #[must_use]
    pub fn tokens_max(&self, total: BlockCount) -> TokenCount {
        let fits = |blocks: u32| {
            let tokens = TokenCount(blocks.saturating_mul(self.size.tokens().0));
            self.blocks_for(tokens) <= total
        };
        let mut bounds = 0..u32::MAX / self.size.tokens().0;
        while bounds.start < bounds.end {
            let middle = bounds.end - (bounds.end - bounds.start) / 2;
            if fits(middle) {
                bounds.start = middle;
            } else {
                bounds.end = middle - 1;
            }
        }
        TokenCount(bounds.start * self.size.tokens().0)
    }

    /// Each group's.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Extent> {
        self.groups.iter()
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> usize {
        self.groups.len()
    }
}

/// What a group of layers must hold of a sequence, in blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    size: BlockSize,
    reach: Reach,
    /// Tokens that a step adds to a sequence at most.
    step: TokenCount,
}

impl Extent {
    pub(crate) fn new(size: BlockSize, reach: Reach, step: TokenCount) -> Self {
        Self { size, reach, step }
    }

    /// Whether the group looks back to the beginning.
    pub(crate) fn is_boundless(self) -> bool {
        self.reach == Reach::Everything
    }

    /// The first block that a token at `position`, or any later one, looks at.
    pub(crate) fn first(self, position: TokenCount) -> u32 {
        match self.reach {
            Reach::Everything => 0,
            Reach::Window(window) => {
                let unseen = (position.0 + 1).saturating_sub(window.0);
                self.size.full_blocks_in(TokenCount(unseen)).0
            }
        }
    }

    /// The end of the blocks to hold where the first is `first` and `tokens` are known: all that
    /// those need; but where there is a window no more than lets a step go as far as it can,
    /// wherever in a block it begins.
    pub(crate) fn end(self, first: u32, tokens: TokenCount) -> u32 {
        let all = self.size.blocks_for(tokens).0;
        all.min(first.saturating_add(self.held_max()))
    }

    /// Blocks that one sequence holds at most, however long it is.
    pub(crate) fn held_max(self) -> u32 {
        match self.reach {
            Reach::Everything => u32::MAX,
            Reach::Window(window) => {
                // The positions before the step that its first token sees, and the step itself. So
                // many touch one block more than they fill.
                let positions = (window.0 - 1).saturating_add(self.step.0);
                let further = TokenCount(positions.saturating_sub(1));
                self.size.blocks_for(further).0.saturating_add(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_s_extent_holds_whatever_a_step_looks_at_and_not_a_block_more() {
        for (block, window, step) in [(1, 1, 1), (4, 1, 5), (4, 6, 1), (4, 8, 9), (16, 33, 7)] {
            let size = BlockSize::new(block).expect("a power of two");
            let reach = Reach::Window(TokenCount(window));
            let extent = Extent::new(size, reach, TokenCount(step));
            let mut most = 0;
            for position in 0..200 {
                let first = extent.first(TokenCount(position));
                assert!(first * block <= (position + 1).saturating_sub(window));
                assert!((first + 1) * block > (position + 1).saturating_sub(window));
                let end = extent.end(first, TokenCount(1_000));
                assert!(end * block >= position + step, "{position} {window} {step}");
                most = most.max((position + step).div_ceil(block) - first);
                assert_eq!(
                    extent.end(first, TokenCount(position)),
                    position.div_ceil(block)
                );
            }
            assert_eq!(extent.held_max(), most, "{block} {window} {step}");
        }
    }
}
