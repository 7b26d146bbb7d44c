//! Rows that lie together because they are multiplied with the same matrix.

use std::ops::Range;

/// Tasks for each thread: groups differ in length, so more of them than where all tasks are alike.
const TASKS_PER_THREAD: usize = 8;
/// What reading a tile of weights costs, in rows that could be computed meanwhile.
const TILE_COST_ROWS: usize = 4;

/// Rows cut into consecutive groups, some of them perhaps empty.
#[derive(Debug, Clone, Copy)]
pub struct RowGroups<'a> {
    ends: &'a [usize],
}

/// Some tiles of a group's matrix, to be multiplied with the group's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) group: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) tiles: Range<usize>,
}

impl<'a> RowGroups<'a> {
    /// Groups of which each begins where the one before ends.
    ///
    /// # Panics
    /// If the ends are not in order.
    #[must_use]
    pub fn new(ends: &'a [usize]) -> Self {
        assert!(ends.is_sorted(), "a group ends before it begins");
        Self { ends }
    }

    /// Number of groups.
    #[must_use]
    pub fn len(self) -> usize {
        self.ends.len()
    }

    /// Whether there are no groups at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.ends.is_empty()
    }

    /// Rows of all groups together.
    #[must_use]
    pub fn rows(self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The rows of each group.
    pub fn ranges(self) -> impl Iterator<Item = Range<usize>> + 'a {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(self.ends).map(|(begin, end)| begin..*end)
    }

    /// The products of all groups with matrices of `tiles` tiles, in pieces that cost about the same.
    pub(crate) fn pieces(self, tiles: usize, threads: usize) -> Vec<Piece> {
        let busy = || {
            let groups = self.ranges().enumerate();
            groups.filter(|(_, rows)| !rows.is_empty())
        };
        let cost = |rows: &Range<usize>| rows.len() + TILE_COST_ROWS;
        let total: usize = busy().map(|(_, rows)| tiles * cost(&rows)).sum();
        let share = total.div_ceil(threads * TASKS_PER_THREAD);
        let mut pieces = Vec::new();
        for (group, rows) in busy() {
            let step = share.div_ceil(cost(&rows)).max(1);
            pieces.extend((0..tiles).step_by(step).map(|first| Piece {
                group,
                rows: rows.clone(),
                tiles: first..tiles.min(first + step),
            }));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_each_tile_of_each_busy_group_once() {
        for (ends, tiles) in [
            (vec![0, 3, 3, 50, 51], 7),
            (vec![0, 0], 3),
            (vec![1], 1),
            (vec![], 4),
        ] {
            let groups = RowGroups::new(&ends);
            let mut covered = vec![vec![0; tiles]; groups.len()];
            for piece in groups.pieces(tiles, 2) {
                assert_eq!(groups.ranges().nth(piece.group), Some(piece.rows));
                piece.tiles.for_each(|it| covered[piece.group][it] += 1);
            }
            for (rows, covered) in groups.ranges().zip(covered) {
                let wanted = i32::from(!rows.is_empty());
                assert!(covered.iter().all(|it| *it == wanted));
            }
        }
    }

    #[test]
    fn long_groups_are_cut_finer_than_short_ones() {
        let ends = [400, 401];
        let pieces = RowGroups::new(&ends).pieces(64, 2);
        let tiles = |group| {
            let mut lengths = pieces.iter().filter(|it| it.group == group);
            lengths.next().map(|it| it.tiles.len())
        };
        assert!(tiles(0) < tiles(1), "{pieces:?}");
        assert!(pieces.len() >= 12, "{pieces:?}");
    }
}
