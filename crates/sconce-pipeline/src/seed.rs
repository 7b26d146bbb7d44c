//! Numbers that need not be secret but must differ: seeds and request ids.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out numbers that differ from each other, and very likely from those of another process.
#[derive(Debug)]
pub(crate) struct Numbers {
    start: u64,
    count: AtomicU64,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        // The standard library keys each of these from the system's random source.
        Self {
            start: RandomState::new().hash_one(std::process::id()),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        scatter(
            self.start
                .wrapping_add(self.count.fetch_add(1, Ordering::Relaxed)),
        )
    }
}

/// The seed of the answer at `index` of a request. The first keeps the seed it was given, so one
/// answer of many can be had again alone.
pub(crate) fn seed_of_answer(seed: u64, index: u32) -> u64 {
    match index {
        0 => seed,
        _ => scatter(seed ^ scatter(u64::from(index))),
    }
}

/// One to one, and neighbours land far apart.
/// Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_within_a_process_and_between_two() {
        let (one, other) = (Numbers::new(), Numbers::new());
        let mut seen: Vec<u64> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 200);
    }

    #[test]
    fn answers_of_one_seed_differ_and_the_first_keeps_it() {
        assert_eq!(seed_of_answer(7, 0), 7);
        assert_ne!(seed_of_answer(7, 1), seed_of_answer(7, 2));
        assert_ne!(seed_of_answer(7, 1), seed_of_answer(8, 1));
        assert_eq!(seed_of_answer(7, 1), seed_of_answer(7, 1));
    }
}
