//! What engines may hold, drawn at random, and what their sequences need.

use sconce_domain::{BlockCount, BlockSize, KvGroups, Reach, TokenCount};
use sconce_engine::EngineLimits;

use crate::dice::Dice;
use crate::world::LONGEST;

/// Often a pool that holds the longest sequence and not a block more, so that every waste shows.
pub(crate) fn random_limits(dice: &mut Dice) -> EngineLimits {
    let block_size = BlockSize::new(1 << dice.below(4)).expect("one bit is a power of two");
    let mut limits = EngineLimits {
        block_size,
        blocks: BlockCount(0),
        groups: random_groups(dice),
        step_tokens_max: TokenCount(dice.between(1, 48)),
        tokens_beside_streams: TokenCount(dice.below(12)),
        running_max: dice.between(1, 10),
    };
    limits.blocks = blocks_max(&limits, LONGEST);
    if dice.chance(40) {
        limits.blocks.0 += dice.below(3 * limits.blocks.0);
    }
    limits
}

fn random_groups(dice: &mut Dice) -> KvGroups {
    if dice.chance(50) {
        return KvGroups::one();
    }
    let boundless = dice.below(3);
    KvGroups {
        boundless,
        windowed: dice.between(u32::from(boundless == 0), 2),
        window: TokenCount(dice.between(2, 30)),
    }
}

/// Blocks that a sequence of so many tokens holds at most: in a window's group those of the positions
/// that the first token of a step sees, and of the step.
pub(crate) fn blocks_max(limits: &EngineLimits, tokens: TokenCount) -> BlockCount {
    let all = limits.block_size.blocks_for(tokens).0;
    let blocks = limits.groups.reaches().map(|reach| match reach {
        Reach::Everything => all,
        Reach::Window(window) => {
            let positions = window.0 - 1 + limits.step_tokens_max.0;
            all.min((positions - 1).div_ceil(limits.block_size.tokens().0) + 1)
        }
    });
    BlockCount(blocks.sum())
}
