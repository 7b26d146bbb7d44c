//! Which layers share KV blocks, and how far back they look.

use crate::TokenCount;

/// The groups of layers that have KV blocks of their own. A block holds the keys and values of one
/// group's layers, and all groups have as many, so that any block can be any group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGroups {
    /// Groups whose layers look back to the beginning. They come first.
    pub boundless: u32,
    /// Groups whose layers look back over `window` only.
    pub windowed: u32,
    /// Positions that a windowed layer sees, its own the last; at least one where there is such a
    /// layer.
    pub window: TokenCount,
}

/// How far back the layers of a group look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the beginning.
    Everything,
    /// Over so many positions, their own the last.
    Window(TokenCount),
}

impl KvGroups {
    /// One group, whose layers look back to the beginning.
    #[must_use]
    pub fn one() -> Self {
        Self {
            boundless: 1,
            windowed: 0,
            window: TokenCount(0),
        }
    }

    /// All groups.
    #[must_use]
    pub fn count(self) -> usize {
        (self.boundless + self.windowed) as usize
    }

    /// How far back each group looks, in order.
    pub fn reaches(self) -> impl Iterator<Item = Reach> {
        let boundless = (0..self.boundless).map(|_| Reach::Everything);
        boundless.chain((0..self.windowed).map(move |_| Reach::Window(self.window)))
    }
}
