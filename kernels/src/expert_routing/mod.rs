//! Which experts each row goes to, and how their results become one again.
//!
//! A row's choice, shares and sums depend on the row alone and run in the order of its choice, so its
//! bits are the same in any company.
//!
//! Source: Shazeer et al. 2017, "Outrageously Large Neural Networks", section 2.1.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::exp;
use crate::{Isa, Pool, RowGroups};

/// Between whom the weight of one is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// The chosen experts: their weights sum to one.
    OfChosen,
    /// All experts: those that were not chosen keep theirs, so the chosen ones' sum to less.
    OfAll,
}

/// How many experts there are and how many of them a row goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Experts.
    pub experts: usize,
    /// Those a row goes to; at least one, at most all.
    pub chosen: usize,
    /// Their weights.
    pub shares: Shares,
}

/// The way of a step's rows through the experts. Keeps its memory between steps.
#[derive(Debug, Default)]
pub struct Routing {
    chosen: usize,
    /// The experts of each row, the likeliest first.
    picks: Vec<usize>,
    weights: Vec<f32>,
    /// Where each pick's row lies among the rows grouped by expert.
    places: Vec<usize>,
    /// The end of each expert's rows.
    ends: Vec<usize>,
}

impl Routing {
    /// Chooses the experts with the largest logits for each row; of equal ones the first.
    ///
    /// Shape: `logits` is `[rows, experts]`. Weights are the softmax of what shares them, relative
    /// error below 1e-6. What is not a number is chosen last.
    ///
    /// # Panics
    /// If `logits` is not a whole number of rows, or no or too many experts are chosen.
    pub fn choose(&mut self, isa: Isa, choice: Choice, logits: &[f32]) {
        let Choice {
            experts, chosen, ..
        } = choice;
        assert!(
            (1..=experts).contains(&chosen) && logits.len().is_multiple_of(experts),
            "{chosen} of {experts} experts cannot be chosen by {} logits",
            logits.len()
        );
        let picks = logits.len() / experts * chosen;
        self.chosen = chosen;
        self.picks.resize(picks, 0);
        self.weights.resize(picks, 0.0);
        for_each_isa!(isa, choose_rows(
            choice: Choice = choice,
            logits: &[f32] = logits,
            picks: &mut [usize] = &mut self.picks,
            weights: &mut [f32] = &mut self.weights,
        ));
        self.group(experts);
    }

    /// Sorts the picks by expert, and within one by row.
    fn group(&mut self, experts: usize) {
        self.ends.clear();
        self.ends.resize(experts, 0);
        for &pick in &self.picks {
            self.ends[pick] += 1;
        }
        let mut begin = 0;
        for end in &mut self.ends {
            (begin, *end) = (begin + *end, begin);
        }
        self.places.clear();
        for &pick in &self.picks {
            self.places.push(self.ends[pick]);
            self.ends[pick] += 1;
        }
    }

    /// The rows of each expert.
    #[must_use]
    pub fn groups(&self) -> RowGroups<'_> {
        RowGroups::new(&self.ends)
    }

    /// Copies each row of `x` to where its experts find it.
    ///
    /// Shapes: `x` is `[rows, width]`, `grouped` becomes `[rows * chosen, width]`.
    ///
    /// # Panics
    /// If `x` has not the rows that were chosen for.
    pub fn gather(&self, x: &[f32], width: usize, grouped: &mut Vec<f32>) {
        let rows = self.picks.len() / self.chosen;
        assert_eq!(x.len(), rows * width, "x is not rows of its width");
        grouped.resize(self.picks.len() * width, 0.0);
        for (x, places) in x
            .chunks_exact(width)
            .zip(self.places.chunks_exact(self.chosen))
        {
            for place in places {
                grouped[place * width..][..width].copy_from_slice(x);
            }
        }
    }

    /// Sums what its experts made of each row, each times its weight, the likeliest first.
    ///
    /// Shapes: `grouped` is `[rows * chosen, width]`, `out` is `[rows, width]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn combine(&self, isa: Isa, pool: &mut Pool, grouped: &[f32], out: &mut [f32]) {
        let rows = self.picks.len() / self.chosen;
        assert!(
            grouped.len() == out.len() * self.chosen && out.len().is_multiple_of(rows.max(1)),
            "the results do not fit the output"
        );
        let Some(width) = out.len().checked_div(rows).filter(|it| *it > 0) else {
            return;
        };
        let part = pool.part_length(rows, 4) * width;
        pool.run_parts(out, part, &|first, out| {
            let picks = first / width * self.chosen..(first + out.len()) / width * self.chosen;
            for_each_isa!(isa, combine_rows(
                places: &[usize] = &self.places[picks.clone()],
                weights: &[f32] = &self.weights[picks],
                grouped: &[f32] = grouped,
                output: (&mut [f32], usize) = (out, width),
            ));
        });
    }
}

#[inline(always)]
fn choose_rows(choice: Choice, logits: &[f32], picks: &mut [usize], weights: &mut [f32]) {
    let Choice {
        experts,
        chosen,
        shares,
    } = choice;
    for ((logits, picks), weights) in logits
        .chunks_exact(experts)
        .zip(picks.chunks_exact_mut(chosen))
        .zip(weights.chunks_exact_mut(chosen))
    {
        for rank in 0..chosen {
            let (earlier, rest) = picks.split_at_mut(rank);
            rest[0] = likeliest(logits, earlier);
        }
        let largest = logits[picks[0]];
        let mut total = 0.0;
        for (weight, pick) in weights.iter_mut().zip(picks.iter()) {
            *weight = exp(logits[*pick] - largest);
            total += *weight;
        }
        if shares == Shares::OfAll {
            total = 0.0;
            for logit in logits {
                total += exp(*logit - largest);
            }
        }
        for weight in weights {
            *weight /= total;
        }
    }
}

/// The expert with the largest logit that is none of the `earlier` ones, of which there are fewer than
/// experts.
#[inline(always)]
fn likeliest(logits: &[f32], earlier: &[usize]) -> usize {
    let mut best = None;
    for (expert, &logit) in logits.iter().enumerate() {
        let is_better = best.is_none_or(|(_, most): (usize, f32)| {
            logit > most || (most.is_nan() && !logit.is_nan())
        });
        if is_better && !earlier.contains(&expert) {
            best = Some((expert, logit));
        }
    }
    best.map_or(0, |(expert, _)| expert)
}

#[inline(always)]
fn combine_rows(
    places: &[usize],
    weights: &[f32],
    grouped: &[f32],
    (out, width): (&mut [f32], usize),
) {
    let chosen = places.len() * width / out.len();
    let picks = places
        .chunks_exact(chosen)
        .zip(weights.chunks_exact(chosen));
    for (out, (places, weights)) in out.chunks_exact_mut(width).zip(picks) {
        out.fill(0.0);
        for (place, &weight) in places.iter().zip(weights) {
            let result = &grouped[place * width..][..width];
            for (out, &result) in out.iter_mut().zip(result) {
                *out = weight.mul_add(result, *out);
            }
        }
    }
}

/// Adds to each row of `out` what all rows go through, times the logistic function of the row's gate.
///
/// Shapes: `gates` is `[rows]`, `shared` and `out` are `[rows, width]`. Relative error below 1e-6.
/// Source: Qwen team 2024, "Qwen1.5-MoE", the shared expert's gate.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_gated(isa: Isa, gates: &[f32], shared: &[f32], out: &mut [f32]) {
    assert!(
        shared.len() == out.len() && out.len().is_multiple_of(gates.len().max(1)),
        "the shared results do not fit the output"
    );
    for_each_isa!(isa, add_gated_rows(
        gates: &[f32] = gates,
        shared: &[f32] = shared,
        out: &mut [f32] = out,
    ));
}

#[inline(always)]
fn add_gated_rows(gates: &[f32], shared: &[f32], out: &mut [f32]) {
    let width = out.len() / gates.len().max(1);
    for (row, gate) in gates.iter().enumerate() {
        let weight = 1.0 / (1.0 + exp(-gate));
        let places = row * width..(row + 1) * width;
        for (out, &shared) in out[places.clone()].iter_mut().zip(&shared[places]) {
            *out = weight.mul_add(shared, *out);
        }
    }
}

#[cfg(test)]
mod tests;
