//! Products with weights that are not quantized, kept at the width they are stored in.
//!
//! Layout: tiles of 16 columns, the 16 weights of one `k` side by side. Weights are widened to single
//! precision as they are read; each output is one chain of fused multiply-adds in the order of `k`, so
//! results do not depend on the number of rows, nor on the width.

mod grouped;
pub mod reference;
mod stored;

pub use grouped::{PlacedForGroups, grouped_matmul};
pub use stored::Precision;

use crate::isa::for_each_isa;
use crate::lanes::{LANES, Lanes, fused};
use crate::{DisjointSlice, Isa, Pool};
use stored::{Brain, Half, StoredWeight};

/// A weight matrix of shape `[n, k]`.
#[derive(Debug)]
pub struct DenseMatrix {
    n: usize,
    k: usize,
    tiles: Tiles,
}

/// Tiles of one width.
#[derive(Debug)]
enum Tiles {
    Single(Vec<f32>),
    Half(Vec<Half>),
    Brain(Vec<Brain>),
}

impl DenseMatrix {
    /// Packs `[n, k]` row-major weights, given as a file stores them: little-endian.
    ///
    /// # Panics
    /// If `bytes` is not `n * k` weights long, or `k` is zero.
    #[must_use]
    pub fn pack(pool: &mut Pool, precision: Precision, shape: [usize; 2], bytes: &[u8]) -> Self {
        let [n, k] = shape;
        let wanted = n * k * precision.bytes();
        assert!(k > 0 && bytes.len() == wanted, "the weights are not n x k");
        let tiles = match precision {
            Precision::Single => Tiles::Single(packed(pool, shape, bytes)),
            Precision::Half => Tiles::Half(packed(pool, shape, bytes)),
            Precision::Brain => Tiles::Brain(packed(pool, shape, bytes)),
        };
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
        match &self.tiles {
            Tiles::Single(tiles) => size_of_val(&tiles[..]),
            Tiles::Half(tiles) => size_of_val(&tiles[..]),
            Tiles::Brain(tiles) => size_of_val(&tiles[..]),
        }
    }

    /// Bytes of memory that a matrix of this shape will take, known before it is packed.
    #[must_use]
    pub fn bytes_of(precision: Precision, [n, k]: [usize; 2]) -> usize {
        n.div_ceil(LANES) * LANES * k * precision.bytes()
    }

    /// Writes the weights of output `index` to `row`, in single precision.
    ///
    /// # Panics
    /// If there is no such output or `row` is not `k` long.
    pub fn copy_row(&self, index: usize, row: &mut [f32]) {
        assert!(index < self.n, "row {index} of {}", self.n);
        assert_eq!(row.len(), self.k, "a row has k weights");
        for (k, weight) in row.iter_mut().enumerate() {
            let place = (index / LANES * self.k + k) * LANES + index % LANES;
            *weight = match &self.tiles {
                Tiles::Single(tiles) => tiles[place],
                Tiles::Half(tiles) => tiles[place].single(),
                Tiles::Brain(tiles) => tiles[place].single(),
            };
        }
    }

    fn tile<'a, S>(&self, tiles: &'a [S], index: usize) -> &'a [S] {
        &tiles[index * self.k * LANES..][..self.k * LANES]
    }
}

/// The tiles of `[n, k]` weights; columns beyond the last are zero.
fn packed<S: StoredWeight>(pool: &mut Pool, [n, k]: [usize; 2], bytes: &[u8]) -> Vec<S> {
    let mut tiles = vec![S::default(); n.div_ceil(LANES) * LANES * k];
    let row_bytes = k * size_of::<S>();
    let parts = DisjointSlice::new(&mut tiles);
    pool.run(n.div_ceil(LANES), &|tile| {
        // SAFETY: each task has a tile of its own.
        let part = unsafe { parts.part(tile * k * LANES, k * LANES) };
        let rows = &bytes[tile * LANES * row_bytes..n.min((tile + 1) * LANES) * row_bytes];
        for (column, row) in rows.chunks_exact(row_bytes).enumerate() {
            for (k, weight) in row.chunks_exact(size_of::<S>()).enumerate() {
                part[k * LANES + column] = S::read(weight);
            }
        }
    });
    tiles
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
        multiply(isa, x, (weights, tile), &write);
    });
}

/// Multiplies the rows of `x` by one tile of `weights`.
fn multiply(
    isa: Isa,
    x: &[f32],
    (weights, tile): (&DenseMatrix, usize),
    write: &dyn Fn(usize, &Lanes),
) {
    match &weights.tiles {
        Tiles::Single(tiles) => for_each_isa!(isa, multiply_tile(
            x: &[f32] = x,
            tile: &[f32] = weights.tile(tiles, tile),
            write: &dyn Fn(usize, &Lanes) = write,
        )),
        Tiles::Half(tiles) => for_each_isa!(isa, multiply_tile(
            x: &[f32] = x,
            tile: &[Half] = weights.tile(tiles, tile),
            write: &dyn Fn(usize, &Lanes) = write,
        )),
        Tiles::Brain(tiles) => for_each_isa!(isa, multiply_tile(
            x: &[f32] = x,
            tile: &[Brain] = weights.tile(tiles, tile),
            write: &dyn Fn(usize, &Lanes) = write,
        )),
    }
}

#[inline(always)]
fn multiply_tile<S: StoredWeight>(x: &[f32], tile: &[S], write: &dyn Fn(usize, &Lanes)) {
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
fn multiply_rows<S: StoredWeight, const ROWS: usize>(
    x: [&[f32]; ROWS],
    tile: &[S],
) -> [Lanes; ROWS] {
    let mut totals = [[0.0; LANES]; ROWS];
    for (k, weights) in tile.chunks_exact(LANES).enumerate() {
        let weights = S::widen(weights);
        for row in 0..ROWS {
            totals[row] = fused([x[row][k]; LANES], weights, totals[row]);
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(index: usize) -> f32 {
        ((index * 7919 % 1009) as f32 - 500.0) / 250.0
    }

    /// Weights, and their bytes at each width. They are those that half and brain precision both hold.
    fn weights(n: usize, k: usize) -> (Vec<f32>, [(Precision, Vec<u8>); 3]) {
        let bits = |index: usize| value(index + 13).to_bits() & 0xffff_0000;
        let singles: Vec<f32> = (0..n * k).map(|it| f32::from_bits(bits(it))).collect();
        let half = |it: &f32| half::f16::from_f32(*it).to_le_bytes();
        let brain = |it: &f32| half::bf16::from_f32(*it).to_le_bytes();
        let stored = [
            (
                Precision::Single,
                singles.iter().flat_map(|it| it.to_le_bytes()).collect(),
            ),
            (Precision::Half, singles.iter().flat_map(half).collect()),
            (Precision::Brain, singles.iter().flat_map(brain).collect()),
        ];
        (singles, stored)
    }

    #[test]
    fn odd_shapes_are_near_the_reference_and_bit_equal_at_every_width_on_every_instruction_set() {
        for (rows, n, k) in [(1, 1, 1), (2, 16, 7), (5, 17, 31), (9, 40, 64)] {
            let x: Vec<f32> = (0..rows * k).map(value).collect();
            let (singles, stored) = weights(n, k);
            let exact = reference::matmul(&x, &singles, k);
            let run = |isa, packed: &DenseMatrix| {
                let mut out = vec![f32::NAN; rows * n];
                let place = Placement {
                    width: n,
                    first_column: 0,
                };
                matmul(isa, &mut Pool::new(2), &x, packed, (&mut out, place));
                out
            };
            let pack = |(precision, bytes): &(Precision, Vec<u8>)| {
                DenseMatrix::pack(&mut Pool::new(2), *precision, [n, k], bytes)
            };
            let portable = run(Isa::Portable, &pack(&stored[0]));
            for (found, exact) in portable.iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() < 1e-3 * k as f64);
            }
            for stored in &stored {
                let packed = pack(stored);
                let columns = n.next_multiple_of(LANES);
                assert_eq!(packed.bytes(), columns * k * stored.0.bytes());
                for isa in Isa::available() {
                    assert_eq!(run(isa, &packed), portable, "{:?} {isa:?}", stored.0);
                }
                let mut row = vec![0.0; k];
                packed.copy_row(n - 1, &mut row);
                assert_eq!(row, &singles[(n - 1) * k..], "{:?}", stored.0);
            }
        }
    }
}
