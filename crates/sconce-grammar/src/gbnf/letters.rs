//! Sets of letters, as ranges of code points.

use std::fmt::Write as _;

const LAST: u32 = 0x0010_FFFF;
/// Code points that are no letters: halves of pairs in UTF-16.
const HALVES: (u32, u32) = (0xD800, 0xDFFF);

/// A set of letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Letters {
    /// First and last code points, in order, apart from each other.
    ranges: Vec<(u32, u32)>,
}

impl Letters {
    pub(super) fn of(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                _ => joined.push((first, last)),
            }
        }
        Self { ranges: joined }
    }

    pub(super) fn any() -> Self {
        Self::default().others()
    }

    /// All letters that are not in this set.
    pub(super) fn others(&self) -> Self {
        let (mut next, mut ranges) = (0, Vec::new());
        for (first, last) in self.ranges.iter().chain([&(LAST + 1, LAST + 1)]) {
            if *first > next {
                ranges.push((next, first - 1));
            }
            next = last + 1;
        }
        Self { ranges }
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        let meets = |a: &(u32, u32), b: &(u32, u32)| a.0 <= b.1 && b.0 <= a.1;
        self.ranges
            .iter()
            .any(|it| other.ranges.iter().any(|that| meets(it, that)))
    }

    pub(super) fn add(&mut self, other: &Self) {
        let ranges = [std::mem::take(&mut self.ranges), other.ranges.clone()].concat();
        *self = Self::of(ranges);
    }

    /// As a class of a regular expression; `None` for no letter at all.
    pub(super) fn class(&self) -> Option<String> {
        let mut class = String::new();
        for (first, last) in &self.ranges {
            let parts = [
                (*first, (*last).min(HALVES.0 - 1)),
                ((*first).max(HALVES.1 + 1), *last),
            ];
            for (first, last) in parts.into_iter().filter(|(first, last)| first <= last) {
                // Writing to a string cannot fail.
                let _infallible = write!(class, r"\x{{{first:X}}}-\x{{{last:X}}}");
            }
        }
        (!class.is_empty()).then(|| format!("[{class}]"))
    }
}
