//! The same products where each group of rows has a matrix of its own: the experts of a layer.
//!
//! A matrix is read once for all rows of its group, and not at all where the group is empty. A row's
//! arithmetic is that of `matmul`, so it does not show in a result which other rows its group has.

use super::packed::TILE;
use super::{Columns, PackedMatrix, QuantizedRows, ROW_CHUNK_BYTES, Span, multiply_tile};
use crate::{DisjointSlice, Isa, Pool, RowGroups};

/// One matrix for each group, all of one shape, and where in the output they put their columns.
#[derive(Debug, Clone, Copy)]
pub struct PlacedForGroups<'a> {
    /// The matrices, as many as groups.
    pub weights: &'a [PackedMatrix],
    /// Length of an output row.
    pub width: usize,
    /// The first output column.
    pub first_column: usize,
}

/// Multiplies the rows of each group by the group's matrix.
///
/// Shapes: `rows` is `[rows, k]`, each of the weights `[n, k]`, `out` is `[rows, width]`, row-major.
///
/// # Panics
/// If the shapes do not fit each other or the groups the rows.
pub fn grouped_matmul(
    isa: Isa,
    pool: &mut Pool,
    (rows, groups): (&QuantizedRows, RowGroups<'_>),
    placed: PlacedForGroups<'_>,
    out: &mut [f32],
) {
    let PlacedForGroups {
        weights,
        width,
        first_column,
    } = placed;
    assert_eq!(weights.len(), groups.len(), "a group has one matrix");
    assert_eq!(rows.rows(), groups.rows(), "a row has one group");
    assert_eq!(out.len(), rows.rows() * width, "the output is not rows");
    let Some(first) = weights.first() else {
        return;
    };
    let is_alike = |it: &PackedMatrix| (it.n(), it.k()) == (first.n(), rows.k());
    assert!(
        weights.iter().all(is_alike) && first_column + first.n() <= width,
        "the matrices do not fit the rows or the output"
    );
    let pieces = groups.pieces(first.tiles(), pool.threads());
    let out = DisjointSlice::new(out);
    let columns = Columns {
        out: &out,
        width,
        first_column,
    };
    pool.run(pieces.len(), &|index| {
        let piece = &pieces[index];
        let matrix = &weights[piece.group];
        let chunk = (ROW_CHUNK_BYTES / rows.k()).max(8);
        for first_row in piece.rows.clone().step_by(chunk) {
            let last_row = (first_row + chunk).min(piece.rows.end);
            for tile in piece.tiles.clone() {
                let span = Span {
                    tile,
                    first_row,
                    last_row,
                };
                let count = TILE.min(matrix.n() - tile * TILE);
                multiply_tile(isa, rows, matrix, span, &mut |row, lanes| {
                    columns.write(row, tile * TILE, lanes, count);
                });
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantized_matmul::{BlockFormat, Placed, matmul};

    /// A matrix of eight-bit blocks: a scale of 2^-6, then codes.
    fn matrix(pool: &mut Pool, [n, k]: [usize; 2], seed: usize) -> PackedMatrix {
        let scale = half::f16::from_f32(0.015_625).to_le_bytes();
        let block = |block: usize| {
            let code = move |k: usize| ((block * 32 + k + seed) * 7919 % 251) as u8;
            scale.into_iter().chain((0..32).map(code))
        };
        let bytes: Vec<u8> = (0..n * k / 32).flat_map(block).collect();
        PackedMatrix::pack(pool, BlockFormat::Q8_0, [n, k], &bytes).unwrap()
    }

    #[test]
    fn each_group_gets_the_bits_that_its_matrix_gives_alone() {
        let (k, n, width) = (64, 21, 30);
        let ends = [0, 1, 1, 9, 12, 50];
        let groups = RowGroups::new(&ends);
        let mut pool = Pool::new(2);
        let weights: Vec<_> = (0..ends.len())
            .map(|it| matrix(&mut pool, [n, k], it * 17))
            .collect();
        let x: Vec<f32> = (0..50 * k)
            .map(|it| (it * 37 % 211) as f32 / 50.0 - 2.0)
            .collect();
        let mut rows = QuantizedRows::default();
        for isa in Isa::available() {
            rows.quantize(isa, &mut pool, &x, k);
            let mut out = vec![f32::NAN; 50 * width];
            let placed = PlacedForGroups {
                weights: &weights,
                width,
                first_column: 5,
            };
            grouped_matmul(isa, &mut pool, (&rows, groups), placed, &mut out);
            for (range, matrix) in groups.ranges().zip(&weights) {
                let part = &x[range.start * k..range.end * k];
                let mut alone = vec![0.0; range.len() * n];
                rows.quantize(isa, &mut pool, part, k);
                let placed = Placed {
                    weights: std::slice::from_ref(matrix),
                    first_columns: &[0],
                    width: n,
                };
                matmul(isa, &mut pool, &rows, placed, &mut alone);
                for (row, alone) in range.zip(alone.chunks_exact(n)) {
                    assert_eq!(&out[row * width + 5..][..n], alone, "{isa:?} {row}");
                    assert!(out[row * width..][..5].iter().all(|it| it.is_nan()));
                }
            }
        }
    }
}
