//! Cuts the unlikely end off a distribution, by thresholds that are found without a sort.

use std::cmp::Ordering;

use sconce_domain::Truncation;

use crate::exponential::{exp, sum};
use crate::logprobs::below;
use crate::rank::{Candidate, candidates, last_ranked, select_front};
use crate::typical::{Surprise, Typical};

/// Tokens that a pick passes at once.
const PICK_BLOCK: usize = 512;

/// The tokens that may still be drawn, with their weights (unnormalised probabilities, the most
/// likely one's being 1), in the order of ids.
#[derive(Debug, Default)]
pub(crate) struct Support {
    weighted: Vec<Candidate>,
    /// Scratch for selections, in any order.
    ranked: Vec<Candidate>,
    /// The same, for typical tokens.
    typical: Vec<Typical>,
}

impl Support {
    /// Fills the support from logits: temperature, then top-k, top-p, min-p and
    /// typical-p.
    ///
    /// Top-k is cut first of all, which comes to the same since dividing by the temperature keeps
    /// the ranking, and spares the exponentials of what it cuts.
    pub(crate) fn fill(&mut self, logits: &[f32], temperature: f32, truncation: &Truncation) {
        self.keep_top_k(logits, truncation.top_k as usize);
        self.weigh(temperature);
        self.keep_top_p(f64::from(truncation.top_p));
        if truncation.min_p > 0.0 {
            // The most likely token stays whatever is asked for.
            let weight_min = truncation.min_p.min(1.0);
            self.weighted.retain(|it| it.value >= weight_min);
        }
        self.keep_typical(logits, temperature, f64::from(truncation.typical_p));
    }

    fn keep_top_k(&mut self, logits: &[f32], top_k: usize) {
        self.weighted.clear();
        if top_k == 0 || top_k >= logits.len() {
            self.weighted.extend(candidates(logits));
            return;
        }
        select_front(candidates(logits), top_k, &mut self.ranked);
        if let Some(last) = last_ranked(&self.ranked) {
            self.weighted
                .extend(candidates(logits).filter(|it| it.reaches(&last)));
        }
    }

    fn weigh(&mut self, temperature: f32) {
        let max = self
            .weighted
            .iter()
            .map(|it| it.value)
            .fold(f32::NEG_INFINITY, f32::max);
        for candidate in &mut self.weighted {
            candidate.value = exp(below(candidate.value, max) / temperature);
        }
    }

    /// Keeps the fewest tokens, by rank, whose weights sum to at least `top_p` of all; at least one.
    fn keep_top_p(&mut self, top_p: f64) {
        if top_p >= 1.0 || top_p.is_nan() {
            return;
        }
        let top_p = top_p.max(0.0);
        let total = mass(&self.weighted);
        // What weighs less than an even share of the part that may go cannot be needed: all such
        // tokens together weigh less than that part.
        let spare = (1.0 - top_p) * total / self.weighted.len() as f64;
        self.ranked.clear();
        self.ranked.extend(
            self.weighted
                .iter()
                .filter(|it| f64::from(it.value) >= spare),
        );
        let (rank, weight) = (Candidate::rank, |it: &Candidate| it.value);
        if let Some(last) = nucleus_end(&mut self.ranked, top_p * total, rank, weight) {
            self.weighted.retain(|it| it.reaches(&last));
        }
    }

    /// Keeps the fewest tokens, the most typical first, whose weights sum to at least `typical_p`
    /// of all; at least one.
    fn keep_typical(&mut self, logits: &[f32], temperature: f32, typical_p: f64) {
        if typical_p >= 1.0 || typical_p.is_nan() {
            return;
        }
        self.weighted.retain(|it| it.value > 0.0);
        let total = mass(&self.weighted);
        let surprise = Surprise::new(logits, temperature, &self.weighted, total);
        self.typical.clear();
        self.typical
            .extend(self.weighted.iter().map(|it| surprise.of(*it)));
        let goal = typical_p.max(0.0) * total;
        let weight = |it: &Typical| it.weighted.value;
        if let Some(last) = nucleus_end(&mut self.typical, goal, Typical::rank, weight) {
            self.weighted
                .retain(|it| surprise.of(*it).rank(&last) != Ordering::Greater);
        }
    }

    /// The token at `unit`, in [0, 1), of the support's mass: the inverse of the cumulative
    /// distribution over ids. `None` if nothing is left to draw.
    pub(crate) fn pick(&self, unit: f64) -> Option<u32> {
        let goal = unit * mass(&self.weighted);
        let mut passed = 0.0;
        // Most of the way is gone in blocks, whose sums run in lanes.
        let holds_goal = |block: &&[Candidate]| {
            let end = passed + mass(block);
            let holds = end > goal;
            if !holds {
                passed = end;
            }
            holds
        };
        let block = self.weighted.chunks(PICK_BLOCK).find(holds_goal);
        // Rounding can leave the goal a hair beyond the end: then it is the last token's.
        let tail = block.unwrap_or(&self.weighted);
        let mut picked = None;
        for candidate in tail.iter().filter(|it| it.value > 0.0) {
            picked = Some(candidate.token);
            passed += f64::from(candidate.value);
            if block.is_some() && passed > goal {
                break;
            }
        }
        picked
    }
}

fn mass(candidates: &[Candidate]) -> f64 {
    sum(candidates, |it| it.value)
}

/// The last of the shortest front part of `items`, by `rank`, whose weights sum to at least `goal`;
/// the last of all if they never do. Reorders them.
///
/// Halves the range that holds the answer by selecting its median, so that all halvings together
/// touch each item about twice.
fn nucleus_end<T: Copy>(
    items: &mut [T],
    goal: f64,
    rank: impl Fn(&T, &T) -> Ordering,
    weight: impl Fn(&T) -> f32,
) -> Option<T> {
    let (mut start, mut end, mut passed) = (0, items.len(), 0.0);
    while end - start > 1 {
        let middle = start + (end - start) / 2;
        items[start..end].select_nth_unstable_by(middle - start, &rank);
        let front = sum(&items[start..middle], &weight);
        if passed + front >= goal {
            end = middle;
        } else {
            passed += front;
            start = middle;
        }
    }
    items.get(start).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        let spread = prop_oneof![Just(0.0_f32), 0.01_f32..1.0, 1.0_f32..20.0];
        spread.prop_flat_map(|spread| {
            let smooth = (-1.0_f32..1.0).prop_map(move |it| it * spread);
            let stepped = (-2_i8..3).prop_map(f32::from);
            prop::collection::vec(prop_oneof![9 => smooth, 1 => stepped], 1..2000)
        })
    }

    fn kept(logits: &[f32], truncation: Truncation) -> Vec<Candidate> {
        let mut support = Support::default();
        support.fill(logits, 1.0, &truncation);
        support.weighted
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_nucleus_is_the_shortest_front_that_reaches_its_share(
            logits in logits(),
            top_p in prop_oneof![0.0_f32..1.0, 0.9_f32..1.0, Just(0.999_999_9_f32)],
        ) {
            let all = kept(&logits, Truncation::default());
            let mut nucleus = kept(&logits, Truncation { top_p, ..Truncation::default() });
            prop_assert!(nucleus.is_sorted_by_key(|it| it.token));
            nucleus.sort_by(Candidate::rank);
            let mut ranked = all.clone();
            ranked.sort_by(Candidate::rank);
            prop_assert_eq!(&nucleus[..], &ranked[..nucleus.len()]);
            let goal = f64::from(top_p) * mass(&all);
            let rounding = 1e-9 * mass(&all);
            prop_assert!(mass(&nucleus) >= goal - rounding);
            let without_last = &nucleus[..nucleus.len() - 1];
            prop_assert!(without_last.is_empty() || mass(without_last) <= goal + rounding);
        }

        #[test]
        fn the_typical_are_the_shortest_list_of_the_least_unusual_that_reaches_its_share(
            logits in logits(),
            typical_p in prop_oneof![0.0_f32..1.0, 0.9_f32..1.0, Just(0.999_999_9_f32)],
        ) {
            let all = kept(&logits, Truncation::default());
            let typical = kept(&logits, Truncation { typical_p, ..Truncation::default() });
            prop_assert!(typical.is_sorted_by_key(|it| it.token));
            let total = mass(&all);
            let surprise = |it: &Candidate| (total / f64::from(it.value)).ln();
            let entropy: f64 = all.iter().map(|it| f64::from(it.value) / total * surprise(it)).sum();
            let mut ranked: Vec<(f64, Candidate)> =
                all.iter().map(|it| ((surprise(it) - entropy).abs(), *it)).collect();
            ranked.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            // Those that lie equally far but for rounding may stand for each other.
            let edge = ranked[typical.len() - 1].0;
            for (distance, candidate) in &ranked {
                let is_kept = typical.contains(candidate);
                prop_assert!(is_kept || *distance > edge - 1e-4);
                prop_assert!(!is_kept || *distance < edge + 1e-4);
            }
            let goal = f64::from(typical_p) * total;
            let rounding = 1e-9 * total;
            prop_assert!(mass(&typical) >= goal - rounding);
            let is_last = |(distance, it): &&(f64, Candidate)| {
                (distance - edge).abs() < 1e-4 && typical.contains(it)
            };
            let last = ranked.iter().filter(is_last).map(|(_, it)| f64::from(it.value));
            let last = last.fold(0.0, f64::max);
            prop_assert!(typical.len() == 1 || mass(&typical) - last <= goal + rounding);
        }

        #[test]
        fn top_k_keeps_exactly_the_first_by_rank(logits in logits(), top_k in 1_u32..300) {
            let chosen = kept(&logits, Truncation { top_k, ..Truncation::default() });
            let mut ranked: Vec<Candidate> = candidates(&logits).collect();
            ranked.sort_by(Candidate::rank);
            ranked.truncate(top_k as usize);
            ranked.sort_by_key(|it| it.token);
            let ids = |it: &[Candidate]| it.iter().map(|it| it.token).collect::<Vec<_>>();
            prop_assert_eq!(ids(&chosen), ids(&ranked));
        }
    }

    #[test]
    fn the_likeliest_token_survives_every_cut() {
        for (top_p, min_p) in [
            (0.0, 0.0),
            (-3.0, 0.0),
            (1.0, 1.0),
            (1.0, 7.0),
            (0.0, f32::INFINITY),
        ] {
            let truncation = Truncation {
                top_k: 0,
                top_p,
                min_p,
                typical_p: 1.0,
            };
            assert_eq!(
                kept(&[0.0, 2.0, 1.0], truncation).len(),
                1,
                "{truncation:?}"
            );
        }
    }

    #[test]
    fn one_typical_token_survives_every_cut() {
        for typical_p in [0.0, -1.0, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
            let truncation = Truncation {
                typical_p,
                ..Truncation::default()
            };
            for logits in [&[0.0, 2.0, 1.0][..], &[f32::INFINITY, 1.0, f32::INFINITY]] {
                assert_eq!(kept(logits, truncation).len(), 1, "{typical_p}");
            }
        }
    }

    #[test]
    fn values_that_cut_nothing_cut_nothing() {
        for (top_k, top_p, min_p) in [(0, 1.0, 0.0), (3, 1.5, -1.0), (9, f32::NAN, f32::NAN)] {
            let truncation = Truncation {
                top_k,
                top_p,
                min_p,
                typical_p: top_p,
            };
            assert_eq!(
                kept(&[0.0, 2.0, 1.0], truncation).len(),
                3,
                "{truncation:?}"
            );
        }
    }
}
