//! The running softmax of a few rows, where a row is one head of one query.

use std::ops::Range;

use super::SPAN_TOKENS;
use super::product::{Matrix, add_product};
use crate::Isa;
use crate::lanes::{self, LANES, Lanes, exp2_of_negative, load, sum};
use crate::soft_cap::capped;

/// Multiplies scores, so that the softmax is one of powers of two, which cost less than those of e.
const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// See the module. All lists have one entry a row, or `head_dim`, sixteen or a span's length of them.
#[derive(Debug, Default)]
pub(super) struct Running {
    head_dim: usize,
    /// Multiplies queries.
    scale: f32,
    cap: Option<f32>,
    queries: Vec<f32>,
    /// Scores, later weights, for the slots of one span.
    scores: Vec<f32>,
    largest: Vec<f32>,
    /// Sums of weights, in as many parts as there are lanes.
    sums: Vec<f32>,
    /// What the last span's larger maximum multiplies earlier sums with.
    corrections: Vec<f32>,
    /// Weighted values so far.
    mixed: Vec<f32>,
}

/// Rows that see no slots of a span but these, whole blocks of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) rows: Range<usize>,
    pub(super) slots: Range<usize>,
}

impl Running {
    /// Forgets all rows.
    pub(super) fn begin(&mut self, head_dim: usize, scale: f32, cap: Option<f32>) {
        let factor = if cap.is_none() { LOG2_E } else { 1.0 };
        (self.head_dim, self.scale, self.cap) = (head_dim, scale * factor, cap);
        self.queries.clear();
        self.largest.clear();
        self.sums.clear();
        self.mixed.clear();
    }

    /// Adds the rows of one query. A row that has a sink begins as if it had seen that one already.
    #[inline(always)]
    pub(super) fn push(&mut self, heads: &[f32], sinks: Option<&[f32]>) {
        self.queries.extend(heads.iter().map(|it| it * self.scale));
        let first = self.largest.len();
        let rows = self.queries.len() / self.head_dim;
        self.scores.resize(rows * SPAN_TOKENS, 0.0);
        self.largest.resize(rows, f32::NEG_INFINITY);
        self.sums.resize(rows * LANES, 0.0);
        self.corrections.resize(rows, 0.0);
        self.mixed.resize(rows * self.head_dim, 0.0);
        for (row, sink) in (first..).zip(sinks.into_iter().flatten()) {
            self.largest[row] = sink * LOG2_E;
            self.sums[row * LANES] = 1.0;
        }
    }

    /// Scores a stretch against the keys of a span.
    ///
    /// Shape: `keys` is `[head_dim, SPAN_TOKENS]`.
    #[inline(always)]
    pub(super) fn score(&mut self, isa: Isa, Stretch { rows, slots }: &Stretch, keys: &[f32]) {
        let dims = self.head_dim;
        for row in rows.clone() {
            self.scores[row * SPAN_TOKENS..][slots.clone()].fill(0.0);
        }
        let queries = Matrix {
            numbers: &self.queries[rows.start * dims..],
            stride: dims,
        };
        let keys = Matrix {
            numbers: &keys[slots.start..],
            stride: SPAN_TOKENS,
        };
        let scores = &mut self.scores[rows.start * SPAN_TOKENS + slots.start..];
        let shape = [rows.len(), dims, slots.len()];
        add_product(isa, shape, [queries, keys], (scores, SPAN_TOKENS));
        if let Some(cap) = self.cap {
            for row in rows.clone() {
                for score in &mut self.scores[row * SPAN_TOKENS..][slots.clone()] {
                    *score = capped(*score, cap) * LOG2_E;
                }
            }
        }
    }

    /// Hides all of a stretch's slots but `seen` from `rows` of it.
    #[inline(always)]
    pub(super) fn hide(&mut self, rows: Range<usize>, slots: &Range<usize>, seen: &Range<usize>) {
        if slots == seen {
            return;
        }
        for row in rows {
            let scores = &mut self.scores[row * SPAN_TOKENS..][..SPAN_TOKENS];
            scores[slots.start..seen.start].fill(f32::NEG_INFINITY);
            scores[seen.end..slots.end].fill(f32::NEG_INFINITY);
        }
    }

    /// Turns the scores of a stretch to weights. In passes through memory: in one piece, the compiler
    /// vectorises two lanes at a time for the sake of the reductions.
    #[inline(always)]
    pub(super) fn weigh(&mut self, Stretch { rows, slots }: &Stretch) {
        for row in rows.clone() {
            let mut best = [f32::NEG_INFINITY; LANES];
            for scores in registers(&self.scores, row, slots) {
                for lane in 0..LANES {
                    let score = scores[lane];
                    best[lane] = if score > best[lane] {
                        score
                    } else {
                        best[lane]
                    };
                }
            }
            let (best, before) = (lanes::largest(best), self.largest[row]);
            let new = if best > before { best } else { before };
            self.corrections[row] = before - new;
            self.largest[row] = new;
        }
        for correction in &mut self.corrections[rows.clone()] {
            *correction = exp2_of_negative(*correction);
        }
        for row in rows.clone() {
            let largest = self.largest[row];
            let scores = &mut self.scores[row * SPAN_TOKENS..][slots.clone()];
            for scores in scores.chunks_exact_mut(LANES) {
                for lane in 0..LANES {
                    scores[lane] = exp2_of_negative(scores[lane] - largest);
                }
            }
        }
        for row in rows.clone() {
            let mut sums = load(&self.sums[row * LANES..]);
            for lane in 0..LANES {
                sums[lane] *= self.corrections[row];
            }
            for weights in registers(&self.scores, row, slots) {
                for lane in 0..LANES {
                    sums[lane] += weights[lane];
                }
            }
            self.sums[row * LANES..][..LANES].copy_from_slice(&sums);
        }
    }

    /// Adds a span's weighted values to what earlier spans gave a stretch.
    ///
    /// Shape: `values` is `[SPAN_TOKENS, head_dim]`.
    #[inline(always)]
    pub(super) fn mix(&mut self, isa: Isa, Stretch { rows, slots }: &Stretch, values: &[f32]) {
        let dims = self.head_dim;
        for row in rows.clone() {
            let correction = self.corrections[row];
            // Most spans have no larger score than those before, and a product with one changes nothing.
            if correction != 1.0 {
                for mixed in &mut self.mixed[row * dims..][..dims] {
                    *mixed *= correction;
                }
            }
        }
        let weights = Matrix {
            numbers: &self.scores[rows.start * SPAN_TOKENS + slots.start..],
            stride: SPAN_TOKENS,
        };
        let values = Matrix {
            numbers: &values[slots.start * dims..],
            stride: dims,
        };
        let shape = [rows.len(), slots.len(), dims];
        let mixed = &mut self.mixed[rows.start * dims..];
        add_product(isa, shape, [weights, values], (mixed, dims));
    }

    /// Writes the softmax's means of as many rows from `first` on as `out` has room for.
    #[inline(always)]
    pub(super) fn finish(&self, first: usize, out: &mut [f32]) {
        let dims = self.head_dim;
        for (row, out) in (first..).zip(out.chunks_exact_mut(dims)) {
            let share = sum(load(&self.sums[row * LANES..])).recip();
            for (out, mixed) in out.iter_mut().zip(&self.mixed[row * dims..]) {
                *out = mixed * share;
            }
        }
    }
}

/// The virtual registers of a row's `slots`.
#[inline(always)]
fn registers<'a>(
    scores: &'a [f32],
    row: usize,
    slots: &Range<usize>,
) -> impl Iterator<Item = Lanes> + 'a {
    let scores = &scores[row * SPAN_TOKENS..][slots.clone()];
    scores.chunks_exact(LANES).map(load)
}
