//! Products with weights kept in single precision: small models and tests of the decoder.
//!
//! Layout: tiles of 16 columns, the 16 weights of one `k` side by side. Each output is one chain of
//! fused multiply-adds in the order of `k`, so results do not depend on the number of rows.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::{LANES, Lanes, fused, load};
use crate::{DisjointSlice, Isa, Pool};

/// A weight matrix of shape `[n, k]` in single precision.
#[derive(Debug)]
pub struct DenseMatrix {
    n: usize,
    k: usize,
    tiles: Vec<f32>,
}

impl DenseMatrix {
    /// Packs `[n, k]` row-major weights.
    ///
    /// # Panics
    /// If `weights` is not `n * k` long.
    #[must_use]
    pub fn pack(weights: &[f32], [n, k]: [usize; 2]) -> Self {
        assert_eq!(weights.len(), n * k, "the weights are not n x k");
        let mut tiles = vec![0.0; n.div_ceil(LANES) * LANES * k];
        for (column, row) in weights.chunks_exact(k.max(1)).enumerate() {
            for (index, &weight) in row.iter().enumerate() {
                tiles[(column / LANES * k + index) * LANES + column % LANES] = weight;
            }
        }
        Self { n, k, tiles }
    }

    /// Number of outputs.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Length of a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes of memory the weights take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.tiles[..])
    }

    /// Writes the weights of output `index` to `row`.
    ///
    /// # Panics
    /// If there is no such output or `row` is not `k` long.
    pub fn copy_row(&self, index: usize, row: &mut [f32]) {
        assert!(index < self.n, "row {index} of {}", self.n);
        assert_eq!(row.len(), self.k, "a row has k weights");
        for (k, weight) in row.iter_mut().enumerate() {
            *weight = self.tiles[(index / LANES * self.k + k) * LANES + index % LANES];
        }
    }

    fn tile(&self, index: usize) -> &[f32] {
        &self.tiles[index * self.k * LANES..][..self.k * LANES]
    }
}

/// Where a product's columns stand in a wider row-major output.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// Length of an output row.
    pub width: usize,
    /// The first column to write.
    pub first_column: usize,
}

/// Multiplies `x` by `weights` into the placed columns of `out`.
///
/// Shapes: `x` is `[rows, k]`, `weights` is `[n, k]`, `out` is `[rows, width]`, row-major.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn matmul(
    isa: Isa,
    pool: &mut Pool,
    x: &[f32],
    weights: &DenseMatrix,
    (out, placement): (&mut [f32], Placement),
) {
    let Placement {
        width,
        first_column,
    } = placement;
    let rows = x.len() / weights.k;
    assert_eq!(x.len(), rows * weights.k, "x is not rows of k");
    assert_eq!(
        out.len(),
        rows * width,
        "the output is not rows of its width"
    );
    assert!(
        first_column + weights.n <= width,
        "the product does not fit the output's rows"
    );
    let out = DisjointSlice::new(out);
    pool.run(weights.n.div_ceil(LANES), &|tile| {
        let columns = LANES.min(weights.n - tile * LANES);
        let write = |row: usize, lanes: &Lanes| {
            let offset = row * width + first_column + tile * LANES;
            // SAFETY: each task has a tile of columns of its own, and rows differ within a task.
            let part = unsafe { out.part(offset, columns) };
            part.copy_from_slice(&lanes[..columns]);
        };
        for_each_isa!(isa, multiply_tile(
            x: &[f32] = x,
            tile: &[f32] = weights.tile(tile),
            write: &dyn Fn(usize, &Lanes) = &write,
        ));
    });
}

#[inline(always)]
fn multiply_tile(x: &[f32], tile: &[f32], write: &dyn Fn(usize, &Lanes)) {
    const ROWS: usize = 4;
    let k = tile.len() / LANES;
    let rows = x.len() / k;
    let mut first = 0;
    while first < rows {
        if rows - first >= ROWS {
            let part: [&[f32]; ROWS] = std::array::from_fn(|row| &x[(first + row) * k..][..k]);
            for (row, lanes) in multiply_rows(part, tile).iter().enumerate() {
                write(first + row, lanes);
            }
            first += ROWS;
        } else {
            let [lanes] = multiply_rows([&x[first * k..][..k]], tile);
            write(first, &lanes);
            first += 1;
        }
    }
}

#[inline(always)]
fn multiply_rows<const ROWS: usize>(x: [&[f32]; ROWS], tile: &[f32]) -> [Lanes; ROWS] {
    let mut totals = [[0.0; LANES]; ROWS];
    for (k, weights) in tile.chunks_exact(LANES).enumerate() {
        let weights = load(weights);
        for row in 0..ROWS {
            totals[row] = fused([x[row][k]; LANES], weights, totals[row]);
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_shapes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for (rows, n, k) in [(1, 1, 1), (2, 16, 7), (5, 17, 31), (9, 40, 64)] {
            let value = |index: usize| ((index * 7919 % 1009) as f32 - 500.0) / 250.0;
            let x: Vec<f32> = (0..rows * k).map(value).collect();
            let weights: Vec<f32> = (0..n * k).map(|index| value(index + 13)).collect();
            let exact = reference::matmul(&x, &weights, k);
            let packed = DenseMatrix::pack(&weights, [n, k]);
            let run = |isa| {
                let mut out = vec![f32::NAN; rows * n];
                let place = Placement {
                    width: n,
                    first_column: 0,
                };
                matmul(isa, &mut Pool::new(2), &x, &packed, (&mut out, place));
                out
            };
            let portable = run(Isa::Portable);
            for (found, exact) in portable.iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() < 1e-3 * k as f64);
            }
            for isa in Isa::available() {
                assert_eq!(run(isa), portable, "{isa:?} {rows}x{n}x{k}");
            }
            let mut row = vec![0.0; k];
            packed.copy_row(n - 1, &mut row);
            assert_eq!(row, &weights[(n - 1) * k..]);
        }
    }
}
