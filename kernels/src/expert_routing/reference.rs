//! A layer of experts as its paper writes it, in double precision.

use super::{Choice, Shares};

/// The experts that one row's logits choose, the likeliest first, and their weights.
#[must_use]
pub fn choose(choice: Choice, logits: &[f32]) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..choice.experts).collect();
    order.sort_by(|left, right| logits[*right].total_cmp(&logits[*left]));
    let sharing = match choice.shares {
        Shares::OfChosen => &order[..choice.chosen],
        Shares::OfAll => &order[..],
    };
    let power = |expert: usize| f64::from(logits[expert] - logits[order[0]]).exp();
    let total: f64 = sharing.iter().map(|it| power(*it)).sum();
    let chosen = order[..choice.chosen].iter();
    chosen.map(|it| (*it, power(*it) / total)).collect()
}
