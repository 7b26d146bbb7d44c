//! The running softmax of a few rows, where a row is one head of one query.

use std::ops::Range;

use super::BLOCK_TOKENS;
use super::cache::WideNumbers;
use crate::lanes::{self, LANES, exp, fused, load, sum};
use crate::soft_cap::capped;

/// Rows that share each load of keys and values: their sums, in two chains of two registers of eight
/// lanes, leave room for what is loaded.
const TILE_ROWS: usize = 3;

/// See the module. All lists have one entry, or `head_dim` or sixteen of them, a row.
#[derive(Debug, Default)]
pub(super) struct Running {
    head_dim: usize,
    scale: f32,
    cap: Option<f32>,
    queries: Vec<f32>,
    /// Scores, later weights, for the slots of one block.
    scores: Vec<f32>,
    largest: Vec<f32>,
    sums: Vec<f32>,
    /// What the last block's larger maximum multiplies earlier sums with.
    corrections: Vec<f32>,
    /// Weighted values so far.
    mixed: Vec<f32>,
}

impl Running {
    /// Forgets all rows.
    pub(super) fn begin(&mut self, head_dim: usize, scale: f32, cap: Option<f32>) {
        (self.head_dim, self.scale, self.cap) = (head_dim, scale, cap);
        self.queries.clear();
        self.scores.clear();
        self.largest.clear();
        self.sums.clear();
        self.corrections.clear();
        self.mixed.clear();
    }

    /// Adds the rows of one query. A row that has a sink begins as if it had seen that one already.
    pub(super) fn push(&mut self, heads: &[f32], sinks: Option<&[f32]>) {
        self.queries.extend_from_slice(heads);
        if let Some(sinks) = sinks {
            self.largest.extend_from_slice(sinks);
            self.sums.resize(self.largest.len(), 1.0);
        }
        let rows = self.queries.len() / self.head_dim;
        self.scores.resize(rows * LANES, 0.0);
        self.largest.resize(rows, f32::NEG_INFINITY);
        self.sums.resize(rows, 0.0);
        self.corrections.resize(rows, 0.0);
        self.mixed.resize(rows * self.head_dim, 0.0);
    }

    /// Scores `rows` against the sixteen keys of a block.
    ///
    /// Shape: `keys` is `[head_dim, 16]`.
    #[inline(always)]
    pub(super) fn score(&mut self, rows: Range<usize>, keys: &WideNumbers) {
        let dims = self.head_dim;
        let queries = &self.queries[rows.start * dims..rows.end * dims];
        let scores = &mut self.scores[rows.start * LANES..rows.end * LANES];
        let whole = rows.len() / TILE_ROWS * TILE_ROWS;
        let (tiles, rest) = queries.split_at(whole * dims);
        let (tile_scores, rest_scores) = scores.split_at_mut(whole * LANES);
        for (tile, scores) in tiles
            .chunks_exact(TILE_ROWS * dims)
            .zip(tile_scores.chunks_exact_mut(TILE_ROWS * LANES))
        {
            score_tile::<TILE_ROWS>(tile, keys, scores);
        }
        for (row, scores) in rest
            .chunks_exact(dims)
            .zip(rest_scores.chunks_exact_mut(LANES))
        {
            score_tile::<1>(row, keys, scores);
        }
        for score in scores.iter_mut() {
            *score *= self.scale;
        }
        if let Some(cap) = self.cap {
            for score in scores {
                *score = capped(*score, cap);
            }
        }
    }

    /// Hides all slots but `seen` from `rows`.
    #[inline(always)]
    pub(super) fn hide(&mut self, rows: Range<usize>, seen: Range<usize>) {
        if seen.len() == BLOCK_TOKENS {
            return;
        }
        for scores in self.scores[rows.start * LANES..rows.end * LANES].chunks_exact_mut(LANES) {
            scores[..seen.start].fill(f32::NEG_INFINITY);
            scores[seen.end..].fill(f32::NEG_INFINITY);
        }
    }

    /// Turns the scores of `rows` to weights. In passes through memory: in one piece, the compiler
    /// vectorises two lanes at a time for the sake of the reductions.
    #[inline(always)]
    pub(super) fn weigh(&mut self, rows: Range<usize>) {
        let Self {
            scores,
            largest,
            sums,
            corrections,
            ..
        } = self;
        for row in rows.clone() {
            let block = lanes::largest(load(&scores[row * LANES..]));
            let new = if block > largest[row] {
                block
            } else {
                largest[row]
            };
            corrections[row] = largest[row] - new;
            largest[row] = new;
        }
        for correction in &mut corrections[rows.clone()] {
            *correction = exp(*correction);
        }
        for row in rows.clone() {
            let scores = &mut scores[row * LANES..][..LANES];
            for lane in 0..LANES {
                scores[lane] = exp(scores[lane] - largest[row]);
            }
        }
        for row in rows {
            let sum = sum(load(&scores[row * LANES..]));
            sums[row] = sums[row].mul_add(corrections[row], sum);
        }
    }

    /// Adds a block's weighted values to what earlier blocks gave `rows`.
    ///
    /// Shape: `values` is `[16, head_dim]`.
    #[inline(always)]
    pub(super) fn accumulate(&mut self, rows: Range<usize>, values: &WideNumbers) {
        let dims = self.head_dim;
        let mut row = rows.start;
        while row < rows.end {
            let weights = &self.scores[row * LANES..];
            let corrections = &self.corrections[row..];
            let mixed = &mut self.mixed[row * dims..];
            row += if rows.end - row >= TILE_ROWS {
                accumulate_tile::<TILE_ROWS>((weights, corrections), values, dims, mixed)
            } else {
                accumulate_tile::<1>((weights, corrections), values, dims, mixed)
            };
        }
    }

    /// Writes the softmax's means of as many rows from `first` on as `out` has room for.
    #[inline(always)]
    pub(super) fn finish(&self, first: usize, out: &mut [f32]) {
        let dims = self.head_dim;
        for (row, out) in (first..).zip(out.chunks_exact_mut(dims)) {
            let share = self.sums[row].recip();
            for (out, mixed) in out.iter_mut().zip(&self.mixed[row * dims..]) {
                *out = mixed * share;
            }
        }
    }
}

/// Products of `ROWS` queries with sixteen keys, group by group, each multiplied by its scale.
#[inline(always)]
fn score_tile<const ROWS: usize>(queries: &[f32], keys: &WideNumbers, scores: &mut [f32]) {
    let dims = queries.len() / ROWS;
    let scores = &mut scores[..ROWS * LANES];
    scores.fill(0.0);
    let groups = keys.numbers.chunks(keys.group_dims * LANES);
    let firsts = (0..dims).step_by(keys.group_dims);
    for ((first, group), scales) in firsts.zip(groups).zip(keys.scales.chunks_exact(LANES)) {
        let products = group_products::<ROWS>(queries, first, group);
        for row in 0..ROWS {
            let total = fused(products[row], load(scales), load(&scores[row * LANES..]));
            scores[row * LANES..][..LANES].copy_from_slice(&total);
        }
    }
}

/// Products of the dims from `first` on with the keys of a group, summed in two chains, so that the
/// additions of one need not wait for those of the other.
#[inline(always)]
fn group_products<const ROWS: usize>(
    queries: &[f32],
    first: usize,
    group: &[f32],
) -> [[f32; LANES]; ROWS] {
    let dims = queries.len() / ROWS;
    assert!(group.len().is_multiple_of(2 * LANES) && first + group.len() / LANES <= dims);
    let mut chains = [[[0.0; LANES]; 2]; ROWS];
    for (pair, keys) in group.chunks_exact(2 * LANES).enumerate() {
        for chain in 0..2 {
            let keys = load(&keys[chain * LANES..]);
            for row in 0..ROWS {
                // SAFETY: the group's dims lie within a row's, by the assertion, of which there are
                // `ROWS`.
                let query =
                    unsafe { *queries.get_unchecked(row * dims + first + 2 * pair + chain) };
                chains[row][chain] = fused([query; LANES], keys, chains[row][chain]);
            }
        }
    }
    chains.map(|[mut even, odd]| {
        for lane in 0..LANES {
            even[lane] += odd[lane];
        }
        even
    })
}

/// Adds weighted values to the first `ROWS` rows of `mixed` and returns `ROWS`.
#[inline(always)]
fn accumulate_tile<const ROWS: usize>(
    (weights, corrections): (&[f32], &[f32]),
    values: &WideNumbers,
    dims: usize,
    mixed: &mut [f32],
) -> usize {
    let (weights, corrections) = (&weights[..ROWS * LANES], &corrections[..ROWS]);
    let mixed = &mut mixed[..ROWS * dims];
    let numbers = &values.numbers[..BLOCK_TOKENS * dims];
    let groups = (0..dims).step_by(values.group_dims);
    for (group, scales) in groups.zip(values.scales.chunks_exact(LANES)) {
        let mut shares = [[0.0; LANES]; ROWS];
        for row in 0..ROWS {
            shares[row] = load(&weights[row * LANES..]);
            for lane in 0..LANES {
                shares[row][lane] *= scales[lane];
            }
        }
        for first in (group..dims.min(group + values.group_dims)).step_by(LANES) {
            let mut totals = [[0.0; LANES]; ROWS];
            for row in 0..ROWS {
                totals[row] = load(&mixed[row * dims + first..]);
                for lane in 0..LANES {
                    totals[row][lane] *= corrections[row];
                }
            }
            for slot in 0..BLOCK_TOKENS {
                let numbers = load(&numbers[slot * dims + first..]);
                for row in 0..ROWS {
                    totals[row] = fused([shares[row][slot]; LANES], numbers, totals[row]);
                }
            }
            for row in 0..ROWS {
                mixed[row * dims + first..][..LANES].copy_from_slice(&totals[row]);
            }
        }
    }
    ROWS
}
