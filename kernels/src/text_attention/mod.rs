//! Attention of each text to the whole of itself, over a ragged batch: no padding, no mask, no cache.
//!
//! A task is one head of one text. It lays the head's keys out sixteen to a register, so that lanes are
//! keys while scores are computed, and its values with lanes as dimensions, so that no sum crosses lanes
//! but the softmax's own. A row's arithmetic depends on its text alone: texts of a batch do not see each
//! other, not even in the last bit.

pub mod reference;

use std::ops::Range;

use crate::isa::for_each_isa;
use crate::lanes::{LANES, Lanes, exp, fused, largest, load, sum};
use crate::{DisjointSlice, Isa, Pool};

/// Query rows that share each load of a key or a value.
const ROWS: usize = 4;

/// Queries, keys and values of all rows, side by side.
#[derive(Debug, Clone, Copy)]
pub struct Projected<'a> {
    /// `[rows, 3 * heads * head_dim]`: all heads of the query, then of the key, then of the value.
    pub values: &'a [f32],
    /// Heads of each of the three.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Multiplies each product of a query and a key.
    pub scale: f32,
}

impl<'a> Projected<'a> {
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The head of the query (0), the key (1) or the value (2) of `row`.
    #[inline(always)]
    fn head(&self, row: usize, part: usize, head: usize) -> &'a [f32] {
        let first = (row * 3 + part) * self.width() + head * self.head_dim;
        &self.values[first..][..self.head_dim]
    }
}

/// Mixes the values of each text's rows by how well its queries fit its keys.
///
/// Shapes: `texts` are the row ranges of the texts; `out` is `[rows, heads * head_dim]`. For each head,
/// `out = softmax(scale * Q K^T) V` over the rows of the text.
/// Source: Vaswani et al. 2017, "Attention Is All You Need", equation 1.
///
/// # Panics
/// If the shapes do not fit each other, or texts overlap or reach beyond the rows.
pub fn attend(
    isa: Isa,
    pool: &mut Pool,
    projected: Projected<'_>,
    texts: &[Range<usize>],
    out: &mut [f32],
) {
    let (heads, head_dim, width) = (projected.heads, projected.head_dim, projected.width());
    assert_eq!(
        projected.values.len(),
        3 * out.len(),
        "the rows are not query, key and value of the output"
    );
    let mut end = 0;
    for text in texts {
        assert!(
            end <= text.start && text.start <= text.end,
            "texts are not in order"
        );
        end = text.end;
    }
    assert!(end * width <= out.len(), "a text reaches beyond the rows");
    let out = DisjointSlice::new(out);
    pool.run(texts.len() * heads, &|task| {
        let (text, head) = (&texts[task / heads], task % heads);
        let write = |row: usize, mixed: &[Lanes]| {
            let offset = (text.start + row) * width + head * head_dim;
            // SAFETY: each task has its head of its text, and rows differ within a task.
            let part = unsafe { out.part(offset, head_dim) };
            for (part, lanes) in part.chunks_mut(LANES).zip(mixed) {
                part.copy_from_slice(&lanes[..part.len()]);
            }
        };
        let rows = Rows {
            projected,
            text,
            head,
        };
        for_each_isa!(isa, attend_head(
            rows: Rows<'_> = rows,
            write: &dyn Fn(usize, &[Lanes]) = &write,
        ));
    });
}

/// One head of one text.
#[derive(Clone, Copy)]
struct Rows<'a> {
    projected: Projected<'a>,
    text: &'a Range<usize>,
    head: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn part(&self, row: usize, part: usize) -> &'a [f32] {
        self.projected.head(self.text.start + row, part, self.head)
    }
}

/// Keys and values as the loops want them.
struct Gathered {
    /// `[tiles, head_dim]` registers: lane is key.
    keys: Vec<Lanes>,
    /// `[keys, registers]`: lane is dimension. Dimensions beyond the last are zero.
    values: Vec<Lanes>,
    count: usize,
    head_dim: usize,
}

#[inline(always)]
fn gather(rows: Rows<'_>) -> Gathered {
    let (count, head_dim) = (rows.text.len(), rows.projected.head_dim);
    let registers = head_dim.div_ceil(LANES);
    let mut keys = vec![[0.0; LANES]; count.div_ceil(LANES) * head_dim];
    let mut values = vec![[0.0; LANES]; count * registers];
    for row in 0..count {
        let tile = &mut keys[row / LANES * head_dim..][..head_dim];
        for (register, &key) in tile.iter_mut().zip(rows.part(row, 1)) {
            register[row % LANES] = key;
        }
        let value = rows.part(row, 2);
        for (register, part) in values[row * registers..]
            .iter_mut()
            .zip(value.chunks(LANES))
        {
            register[..part.len()].copy_from_slice(part);
        }
    }
    Gathered {
        keys,
        values,
        count,
        head_dim,
    }
}

#[inline(always)]
fn attend_head(rows: Rows<'_>, write: &dyn Fn(usize, &[Lanes])) {
    let gathered = gather(rows);
    let tiles = gathered.count.div_ceil(LANES);
    let mut scores = vec![[[0.0; LANES]; ROWS]; tiles];
    let mut first = 0;
    while first < gathered.count {
        let left = gathered.count - first;
        // Rows beyond the last repeat it, and what they give is thrown away.
        let queries: [&[f32]; ROWS] =
            std::array::from_fn(|row| rows.part(first + row.min(left - 1), 0));
        score(&gathered, queries, rows.projected.scale, &mut scores);
        let totals = soften(&mut scores, gathered.count);
        mix(&gathered, &scores, totals, &|row, mixed| {
            if row < left {
                write(first + row, mixed);
            }
        });
        first += ROWS;
    }
}

/// `scale` times the product of each query with each key.
#[inline(always)]
fn score(gathered: &Gathered, queries: [&[f32]; ROWS], scale: f32, scores: &mut [[Lanes; ROWS]]) {
    let tiles = gathered.keys.chunks_exact(gathered.head_dim);
    for (scores, tile) in scores.iter_mut().zip(tiles) {
        let mut sums = [[0.0; LANES]; ROWS];
        for (dim, keys) in tile.iter().enumerate() {
            for row in 0..ROWS {
                sums[row] = fused([queries[row][dim]; LANES], *keys, sums[row]);
            }
        }
        for row in 0..ROWS {
            for lane in 0..LANES {
                scores[row][lane] = sums[row][lane] * scale;
            }
        }
    }
}

/// Turns scores into `e^(score - largest)` and gives the sum of each row. Lanes beyond the last key
/// become zero.
#[inline(always)]
fn soften(scores: &mut [[Lanes; ROWS]], count: usize) -> [f32; ROWS] {
    let in_last = count - (scores.len() - 1) * LANES;
    if let Some(last) = scores.last_mut() {
        for lanes in last {
            lanes[in_last..].fill(f32::NEG_INFINITY);
        }
    }
    let mut totals = [0.0; ROWS];
    for row in 0..ROWS {
        let mut best = [f32::NEG_INFINITY; LANES];
        for tile in &*scores {
            for lane in 0..LANES {
                let score = tile[row][lane];
                best[lane] = if score > best[lane] {
                    score
                } else {
                    best[lane]
                };
            }
        }
        let best = largest(best);
        let mut total = [0.0; LANES];
        for tile in &mut *scores {
            for lane in 0..LANES {
                let weight = exp(tile[row][lane] - best);
                tile[row][lane] = weight;
                total[lane] += weight;
            }
        }
        totals[row] = sum(total);
    }
    totals
}

/// The mean of the values by their weights, sixteen dimensions at a time.
#[inline(always)]
fn mix(
    gathered: &Gathered,
    weights: &[[Lanes; ROWS]],
    totals: [f32; ROWS],
    write: &dyn Fn(usize, &[Lanes]),
) {
    let registers = gathered.head_dim.div_ceil(LANES);
    let mut mixed = vec![[0.0; LANES]; ROWS * registers];
    for register in 0..registers {
        let mut sums = [[0.0; LANES]; ROWS];
        for key in 0..gathered.count {
            let value = load(&gathered.values[key * registers + register]);
            let weights = &weights[key / LANES];
            for row in 0..ROWS {
                sums[row] = fused([weights[row][key % LANES]; LANES], value, sums[row]);
            }
        }
        for row in 0..ROWS {
            let share = 1.0 / totals[row];
            for lane in 0..LANES {
                mixed[row * registers + register][lane] = sums[row][lane] * share;
            }
        }
    }
    for (row, mixed) in mixed.chunks_exact(registers).enumerate() {
        write(row, mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(index: usize) -> f32 {
        ((index * 7919 % 1009) as f32 - 500.0) / 250.0
    }

    fn projected(values: &[f32], heads: usize, head_dim: usize) -> Projected<'_> {
        Projected {
            values,
            heads,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
        }
    }

    fn run(isa: Isa, projected: Projected<'_>, texts: &[Range<usize>]) -> Vec<f32> {
        let mut out = vec![f32::NAN; projected.values.len() / 3];
        attend(isa, &mut Pool::new(2), projected, texts, &mut out);
        out
    }

    /// The one text of so many rows.
    fn whole(rows: usize) -> Vec<Range<usize>> {
        std::iter::once(0..rows).collect()
    }

    #[test]
    fn odd_sizes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for (heads, head_dim) in [(1, 1), (3, 5), (2, 16), (2, 32), (1, 40)] {
            let lengths = [1, 2, 3, 4, 15, 16, 17, 33];
            let mut texts = Vec::new();
            let mut rows = 0;
            for length in lengths {
                texts.push(rows..rows + length);
                rows += length;
            }
            let values: Vec<f32> = (0..rows * 3 * heads * head_dim).map(value).collect();
            let projected = projected(&values, heads, head_dim);
            let exact = reference::attend(projected, &texts);
            let portable = run(Isa::Portable, projected, &texts);
            for (found, exact) in portable.iter().zip(&exact) {
                assert!(
                    (f64::from(*found) - exact).abs() < 1e-5,
                    "{found} for {exact}"
                );
            }
            for isa in Isa::available() {
                assert_eq!(run(isa, projected, &texts), portable, "{isa:?} {head_dim}");
            }
        }
    }

    #[test]
    fn a_text_has_the_bits_that_it_has_alone() {
        let (heads, head_dim) = (2, 24);
        let row = 3 * heads * head_dim;
        let values: Vec<f32> = (0..50 * row).map(value).collect();
        let texts = [0..7, 7..30, 30..31, 31..50];
        let isa = Isa::detect();
        let together = run(isa, projected(&values, heads, head_dim), &texts);
        for text in texts {
            let own = &values[text.start * row..text.end * row];
            let alone = run(isa, projected(own, heads, head_dim), &whole(text.len()));
            assert_eq!(together[text.start * row / 3..][..alone.len()], alone);
        }
    }

    #[test]
    fn scores_far_apart_take_the_best_key_alone() {
        let values: Vec<f32> = [[30.0, 30.0, 1.0], [30.0, -30.0, 5.0]].concat();
        let projected = Projected {
            values: &values,
            heads: 1,
            head_dim: 1,
            scale: 1.0,
        };
        assert_eq!(run(Isa::detect(), projected, &whole(2)), [1.0, 1.0]);
    }
}
