//! The ranking of tokens: by value, the largest first, then by id, the lowest first.

use std::cmp::Ordering;

/// A token with its logit or, later, its weight. Never holds a NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) value: f32,
    pub(crate) token: u32,
}

impl Candidate {
    /// `Less` if `self` ranks before `other`, that is, if it is more likely. No two differ in
    /// nothing, since ids differ.
    pub(crate) fn rank(&self, other: &Self) -> Ordering {
        other
            .value
            .total_cmp(&self.value)
            .then(self.token.cmp(&other.token))
    }

    /// Whether `self` ranks at `last` or before it.
    pub(crate) fn reaches(&self, last: &Self) -> bool {
        self.rank(last) != Ordering::Greater
    }
}

/// The logits as candidates, in the order of ids. Minus infinity and NaN are no candidates. A
/// negative zero becomes a positive one: both are as likely.
pub(crate) fn candidates(logits: &[f32]) -> impl Iterator<Item = Candidate> + '_ {
    let possible = |(index, logit): (usize, &f32)| {
        // The comparison is false for NaN.
        (*logit > f32::NEG_INFINITY).then(|| Candidate {
            value: logit + 0.0,
            token: index as u32,
        })
    };
    logits.iter().enumerate().filter_map(possible)
}

/// Leaves in `front` the first `count` of `all` by rank, in no particular order; all of them if
/// there are not as many.
///
/// `all` must come in the order of ids. One pass: `front` collects what beats the worst of the
/// first `count` seen so far, and is cut down by selection whenever it has grown to twice that, so
/// most candidates cost one comparison.
pub(crate) fn select_front(
    all: impl Iterator<Item = Candidate>,
    count: usize,
    front: &mut Vec<Candidate>,
) {
    front.clear();
    if count == 0 {
        return;
    }
    let full = count.saturating_mul(2).max(64);
    let mut bar = f32::NEG_INFINITY;
    for candidate in all {
        // An equal value with a later id ranks behind, so `>` is enough once there is a bar.
        if candidate.value > bar {
            front.push(candidate);
            if front.len() >= full {
                front.select_nth_unstable_by(count - 1, Candidate::rank);
                front.truncate(count);
                bar = front[count - 1].value;
            }
        }
    }
    if front.len() > count {
        front.select_nth_unstable_by(count - 1, Candidate::rank);
        front.truncate(count);
    }
}

/// The candidate that ranks last in a front part.
pub(crate) fn last_ranked(front: &[Candidate]) -> Option<Candidate> {
    front.iter().copied().max_by(Candidate::rank)
}

/// The id of the largest logit, the lowest among equals; 0 if there is no candidate.
///
/// In blocks, so that the comparison of most logits needs no index and can run in parallel lanes.
pub(crate) fn largest(logits: &[f32]) -> u32 {
    const BLOCK: usize = 512;
    const LANES: usize = 16;
    let (mut best, mut best_block) = (f32::NEG_INFINITY, 0);
    for (block, values) in logits.chunks(BLOCK).enumerate() {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for row in values.chunks(LANES) {
            for (lane, value) in lanes.iter_mut().zip(row) {
                // Keeps the lane if the value is a NaN.
                *lane = if *value > *lane { *value } else { *lane };
            }
        }
        let block_best = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if block_best > best {
            (best, best_block) = (block_best, block);
        }
    }
    let start = best_block * BLOCK;
    let place = logits
        .iter()
        .skip(start)
        .position(|it| *it == best && best > f32::NEG_INFINITY);
    place.map_or(0, |it| (start + it) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(logits: &[f32], count: usize) -> Vec<u32> {
        let mut front = Vec::new();
        select_front(candidates(logits), count, &mut front);
        front.sort_unstable_by(Candidate::rank);
        front.iter().map(|it| it.token).collect()
    }

    #[test]
    fn the_front_is_the_most_likely_and_the_lowest_ids_among_equals() {
        let logits = [1.0, 3.0, 2.0, 3.0, f32::NAN, f32::NEG_INFINITY, 2.0];
        assert_eq!(front(&logits, 0), [] as [u32; 0]);
        assert_eq!(front(&logits, 3), [1, 3, 2]);
        assert_eq!(front(&logits, 99), [1, 3, 2, 6, 0]);
        let equal = [5.0; 1000];
        assert_eq!(front(&equal, 40), (0..40).collect::<Vec<u32>>());
    }

    #[test]
    fn a_negative_zero_ranks_as_zero() {
        assert_eq!(front(&[-0.0, 0.0], 1), [0]);
        assert_eq!(largest(&[-0.0, 0.0]), 0);
    }

    #[test]
    fn the_largest_is_the_first_of_equals_and_never_a_nan() {
        let mut logits = vec![f32::NAN; 2000];
        assert_eq!(largest(&logits), 0);
        logits[1500] = -7.0;
        logits[700] = -7.0;
        assert_eq!(largest(&logits), 700);
        logits[1999] = f32::INFINITY;
        assert_eq!(largest(&logits), 1999);
        assert_eq!(largest(&[]), 0);
        assert_eq!(largest(&[f32::NEG_INFINITY; 3]), 0);
    }
}
