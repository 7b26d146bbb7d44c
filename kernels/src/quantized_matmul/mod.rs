//! Products of quantized weights with activations quantized to eight bits.
//!
//! `out[row][column] = sum over k of x[row][k] * w[column][k]`, where both sides are read in groups
//! of 32 along `k`. Within a group the sum is one of integers, hence exact; across groups each
//! output follows one chain of fused multiply-adds, in the order of `k`:
//!
//! `acc = fma(scale_w * scale_x, integer sum, acc)`, then, for types with a minimum,
//! `acc = fma(min_w, scale_x * sum of x, acc)`. Types with a scale for each 16 weights do so twice a
//! group.
//!
//! The chain is the same for one row and for a thousand and on every instruction set, so results
//! are equal bit for bit (see the crate's head).
//!
//! Layout: weights are packed at load into tiles of 16 columns, so that a register's lanes are
//! columns and no sum across lanes is needed. A tile is read once for a whole block of rows.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod coding;
mod encoding;
mod grouped;
mod packed;
mod portable;
#[cfg(target_arch = "x86_64")]
mod quantize_avx2;
pub mod reference;
mod scales;
mod tile;
#[cfg(target_arch = "x86_64")]
mod unpacked_avx2;

pub use activations::QuantizedRows;
pub use blocks::{BlockFormat, GROUP, Group, Scale};
pub use encoding::Encoding;
pub use grouped::{PlacedForGroups, grouped_matmul};
pub use packed::{PackError, PackedMatrix};

use crate::{DisjointSlice, Isa, Pool};
use packed::TILE;

/// Bytes of activations that should stay in a core's second-level cache while tiles pass by.
const ROW_CHUNK_BYTES: usize = 128 * 1024;
/// Tasks for each thread: enough to share evenly, few enough to make claiming one cheap.
const TASKS_PER_THREAD: usize = 4;

/// Weight matrices that read the same rows, and where in the output each puts its columns.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The matrices.
    pub weights: &'a [PackedMatrix],
    /// The first output column of each.
    pub first_columns: &'a [usize],
    /// Length of an output row.
    pub width: usize,
}

/// Multiplies `rows` by each of the placed weights.
///
/// Shapes: `rows` is `[rows, k]`, the weights are `[n_i, k]`, `out` is `[rows, width]`, row-major.
/// Reads every weight once for each 128 KiB of quantized rows: bound by memory for few rows, by
/// arithmetic for many.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn matmul(
    isa: Isa,
    pool: &mut Pool,
    rows: &QuantizedRows,
    placed: Placed<'_>,
    out: &mut [f32],
) {
    let Placed {
        weights,
        first_columns,
        width,
    } = placed;
    assert!(
        weights.iter().all(|it| it.k() == rows.k()),
        "rows and weights differ in k"
    );
    assert_eq!(
        out.len(),
        rows.rows() * width,
        "the output is not rows of its width"
    );
    let ends = weights
        .iter()
        .zip(first_columns)
        .map(|(it, first)| first + it.n());
    assert!(
        ends.max().is_none_or(|end| end <= width),
        "a matrix reaches beyond the output"
    );
    let tiles: usize = weights.iter().map(PackedMatrix::tiles).sum();
    let tiles_per_task = tiles.div_ceil(pool.threads() * TASKS_PER_THREAD).max(1);
    let out = DisjointSlice::new(out);
    pool.run(tiles.div_ceil(tiles_per_task), &|task| {
        let mut first = task * tiles_per_task;
        let mut left = tiles_per_task;
        for (matrix, &first_column) in weights.iter().zip(first_columns) {
            let count = left.min(matrix.tiles().saturating_sub(first));
            let columns = Columns {
                out: &out,
                width,
                first_column,
            };
            multiply_tiles(isa, rows, matrix, first..first + count, columns);
            left -= count;
            first = (first + count).saturating_sub(matrix.tiles());
        }
    });
}

/// The columns of a row-major output that belong to one weight matrix.
#[derive(Debug, Clone, Copy)]
struct Columns<'a> {
    out: &'a DisjointSlice<'a, f32>,
    width: usize,
    first_column: usize,
}

impl Columns<'_> {
    fn write(&self, row: usize, column: usize, values: &[f32; TILE], count: usize) {
        let offset = row * self.width + self.first_column + column;
        // SAFETY: each tile is computed by one task, and rows within a task differ.
        let part = unsafe { self.out.part(offset, count) };
        // A whole tile has a known length, so that its copy is no call, as long as the other one lies
        // elsewhere: side by side, the compiler makes one call of both.
        match part.first_chunk_mut::<TILE>() {
            Some(whole) => *whole = *values,
            None => write_some(part, values),
        }
    }
}

#[cold]
#[inline(never)]
fn write_some(part: &mut [f32], values: &[f32; TILE]) {
    part.copy_from_slice(&values[..part.len()]);
}

fn multiply_tiles(
    isa: Isa,
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    tiles: std::ops::Range<usize>,
    columns: Columns<'_>,
) {
    let chunk = (ROW_CHUNK_BYTES / rows.k()).max(8);
    for first_row in (0..rows.rows()).step_by(chunk) {
        let last_row = (first_row + chunk).min(rows.rows());
        for tile in tiles.clone() {
            let first_column = tile * TILE;
            let width = TILE.min(weights.n() - first_column);
            let mut write = |row: usize, lanes: &[f32; TILE]| {
                columns.write(row, first_column, lanes, width);
            };
            multiply_tile(
                isa,
                rows,
                weights,
                Span {
                    tile,
                    first_row,
                    last_row,
                },
                &mut write,
            );
        }
    }
}

/// One tile of columns and the rows it is multiplied with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) tile: usize,
    pub(crate) first_row: usize,
    pub(crate) last_row: usize,
}

fn multiply_tile(
    isa: Isa,
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    span: Span,
    write: &mut dyn FnMut(usize, &[f32; TILE]),
) {
    // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor, and plain Rust
    // runs everywhere.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => tile::multiply_tile::<avx2::Avx2>(rows, weights, span, write),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => tile::multiply_tile::<avx512::Avx512>(rows, weights, span, write),
            _ => tile::multiply_tile::<portable::Portable>(rows, weights, span, write),
        }
    }
}

#[cfg(test)]
mod tests;
