//! The same products where each group of rows has a matrix of its own: the experts of a layer.

use super::{DenseMatrix, Placement, multiply};
use crate::lanes::{LANES, Lanes};
use crate::{DisjointSlice, Isa, Pool, RowGroups};

/// One matrix for each group, all of one shape, and where in the output they put their columns.
#[derive(Debug, Clone, Copy)]
pub struct PlacedForGroups<'a> {
    /// The matrices, as many as groups.
    pub weights: &'a [DenseMatrix],
    /// Where their columns go.
    pub placement: Placement,
}

/// Multiplies the rows of each group by the group's matrix. A row's arithmetic is that of `matmul`.
///
/// Shapes: `x` is `[rows, k]`, each of the weights `[n, k]`, `out` is `[rows, width]`, row-major.
///
/// # Panics
/// If the shapes do not fit each other or the groups the rows.
pub fn grouped_matmul(
    isa: Isa,
    pool: &mut Pool,
    (x, groups): (&[f32], RowGroups<'_>),
    placed: PlacedForGroups<'_>,
    out: &mut [f32],
) {
    let PlacedForGroups {
        weights,
        placement: Placement {
            width,
            first_column,
        },
    } = placed;
    assert_eq!(weights.len(), groups.len(), "a group has one matrix");
    let Some(first) = weights.first() else {
        return;
    };
    let (n, k) = (first.n, first.k);
    assert!(
        weights.iter().all(|it| (it.n, it.k) == (n, k)) && first_column + n <= width,
        "the matrices do not fit each other or the output"
    );
    assert_eq!(x.len(), groups.rows() * k, "x is not the groups' rows of k");
    assert_eq!(out.len(), groups.rows() * width, "the output is not rows");
    let pieces = groups.pieces(n.div_ceil(LANES), pool.threads());
    let out = DisjointSlice::new(out);
    pool.run(pieces.len(), &|index| {
        let piece = &pieces[index];
        let x = &x[piece.rows.start * k..piece.rows.end * k];
        for tile in piece.tiles.clone() {
            let columns = LANES.min(n - tile * LANES);
            let write = |row: usize, lanes: &Lanes| {
                let row = piece.rows.start + row;
                let offset = row * width + first_column + tile * LANES;
                // SAFETY: each task has tiles of columns of its own, and rows differ within a task.
                let part = unsafe { out.part(offset, columns) };
                part.copy_from_slice(&lanes[..columns]);
            };
            multiply(isa, x, (&weights[piece.group], tile), &write);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense_matmul::{Precision, matmul};

    fn value(index: usize) -> f32 {
        ((index * 7919 % 1009) as f32 - 500.0) / 250.0
    }

    #[test]
    fn each_group_gets_the_bits_that_its_matrix_gives_alone() {
        let (k, n, width) = (23, 21, 30);
        let ends = [0, 1, 1, 9, 12, 50];
        let groups = RowGroups::new(&ends);
        let mut pool = Pool::new(2);
        let weights: Vec<_> = (0..ends.len())
            .map(|it| {
                let bytes: Vec<u8> = (it..it + n * k)
                    .flat_map(|it| value(it).to_le_bytes())
                    .collect();
                DenseMatrix::pack(&mut pool, Precision::Single, [n, k], &bytes)
            })
            .collect();
        let x: Vec<f32> = (0..50 * k).map(value).collect();
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; 50 * width];
            let placement = Placement {
                width,
                first_column: 5,
            };
            let placed = PlacedForGroups {
                weights: &weights,
                placement,
            };
            grouped_matmul(isa, &mut pool, (&x, groups), placed, &mut out);
            for (range, matrix) in groups.ranges().zip(&weights) {
                let part = &x[range.start * k..range.end * k];
                let mut alone = vec![0.0; range.len() * n];
                let placement = Placement {
                    width: n,
                    first_column: 0,
                };
                matmul(isa, &mut pool, part, matrix, (&mut alone, placement));
                for (row, alone) in range.zip(alone.chunks_exact(n)) {
                    assert_eq!(&out[row * width + 5..][..n], alone, "{isa:?} {row}");
                    assert!(out[row * width..][..5].iter().all(|it| it.is_nan()));
                }
            }
        }
    }
}
