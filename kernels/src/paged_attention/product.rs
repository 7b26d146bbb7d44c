//! Small products of matrices, whose sums stay in registers.
//!
//! The tile is three rows of two virtual registers: with AVX2 its sums take twelve registers, which hides the
//! latency of additions, three hold a factor each and one what is loaded from the right side. As intrinsics,
//! since the compiler loads the right side first, for which there is no register left, and moves sums
//! through memory: 9 instead of 20 products in a tick of the time stamp counter.

use crate::Isa;
use crate::lanes::{LANES, Lanes, fused};

/// One side of a product: rows of numbers that begin `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) stride: usize,
}

/// Two sides and how many numbers of the left one's rows are multiplied with as many rows of the right one.
type Sides<'a> = ([Matrix<'a>; 2], usize);

/// Where a product is added: rows that begin so far apart.
type Out<'a> = (&'a mut [f32], usize);

/// The first `rows` rows of `left`, each with its first `terms` numbers, times as many rows of `right`.
///
/// Adds the first `columns` of each row, a multiple of sixteen, to those of `out`. Each sum is taken in the
/// order of the terms, whatever else is computed beside it and on whatever instruction set.
#[inline(always)]
pub(super) fn add_product(
    isa: Isa,
    [rows, terms, columns]: [usize; 3],
    [left, right]: [Matrix<'_>; 2],
    (out, stride): Out<'_>,
) {
    let mut row = 0;
    while row < rows {
        let left = Matrix {
            numbers: &left.numbers[row * left.stride..],
            ..left
        };
        let sides = ([left, right], terms);
        let out = (&mut out[row * stride..], stride);
        row += match rows - row {
            1 => add_rows::<1>(isa, sides, columns, out),
            2 | 4 => add_rows::<2>(isa, sides, columns, out),
            _ => add_rows::<3>(isa, sides, columns, out),
        };
    }
}

/// The first `ROWS` rows of the product. Returns `ROWS`.
#[inline(always)]
fn add_rows<const ROWS: usize>(
    isa: Isa,
    ([left, right], terms): Sides<'_>,
    columns: usize,
    (out, stride): Out<'_>,
) -> usize {
    let mut column = 0;
    while column < columns {
        let right = Matrix {
            numbers: &right.numbers[column..],
            ..right
        };
        let sides = ([left, right], terms);
        let out = (&mut out[column..], stride);
        column += match (columns - column) / LANES {
            1 => add_tile::<ROWS, 1, 2>(isa, sides, out),
            4.. if ROWS == 1 => add_tile::<ROWS, 4, 8>(isa, sides, out),
            _ => add_tile::<ROWS, 2, 4>(isa, sides, out),
        };
    }
    ROWS
}

/// The first `ROWS` rows and `REGISTERS` virtual registers of columns, which are `HALVES` registers of eight
/// lanes. Returns the columns.
#[inline(always)]
fn add_tile<const ROWS: usize, const REGISTERS: usize, const HALVES: usize>(
    isa: Isa,
    sides: Sides<'_>,
    out: Out<'_>,
) -> usize {
    let columns = REGISTERS * LANES;
    let ([left, right], terms) = sides;
    if terms > 0 {
        let enough = [
            left.numbers.len() >= (ROWS - 1) * left.stride + terms,
            right.numbers.len() >= (terms - 1) * right.stride + columns,
            out.0.len() >= (ROWS - 1) * out.1 + columns,
            columns == HALVES * LANES / 2,
        ];
        assert!(enough == [true; 4], "a side or the product is too short");
        match isa {
            // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor; the lengths are as
            // asserted.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => unsafe { add_tile_with_avx2::<ROWS, HALVES>(sides, out) },
            _ => add_tile_portably::<ROWS, REGISTERS>(sides, out),
        }
    }
    columns
}

#[inline(always)]
fn add_tile_portably<const ROWS: usize, const REGISTERS: usize>(
    ([left, right], terms): Sides<'_>,
    (out, stride): Out<'_>,
) {
    for row in 0..ROWS {
        let out = &mut out[row * stride..][..REGISTERS * LANES];
        let mut sums = [[0.0; LANES]; REGISTERS];
        for (sums, out) in sums.iter_mut().zip(out.chunks_exact(LANES)) {
            sums.copy_from_slice(out);
        }
        for (term, &factor) in left.numbers[row * left.stride..][..terms]
            .iter()
            .enumerate()
        {
            let loaded = &right.numbers[term * right.stride..][..REGISTERS * LANES];
            for (sums, loaded) in sums.iter_mut().zip(loaded.chunks_exact(LANES)) {
                let mut lanes: Lanes = [0.0; LANES];
                lanes.copy_from_slice(loaded);
                *sums = fused([factor; LANES], lanes, *sums);
            }
        }
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(LANES)) {
            out.copy_from_slice(sums);
        }
    }
}

/// # Safety
/// Each of `ROWS` rows of the left side has `terms` numbers, each of `terms` rows of the right one and of
/// `ROWS` rows of the product `HALVES` times eight.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_tile_with_avx2<const ROWS: usize, const HALVES: usize>(
    ([left, right], terms): Sides<'_>,
    (out, stride): Out<'_>,
) {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut sums = [[_mm256_setzero_ps(); HALVES]; ROWS];
    for row in 0..ROWS {
        for half in 0..HALVES {
            // SAFETY: as this function's.
            sums[row][half] = unsafe { _mm256_loadu_ps(out.as_ptr().add(row * stride + half * 8)) };
        }
    }
    for term in 0..terms {
        let mut factors = [_mm256_setzero_ps(); ROWS];
        for row in 0..ROWS {
            // SAFETY: as this function's.
            let factor = unsafe { left.numbers.get_unchecked(row * left.stride + term) };
            factors[row] = _mm256_broadcast_ss(factor);
        }
        for half in 0..HALVES {
            let place = term * right.stride + half * 8;
            // SAFETY: as this function's.
            let loaded = unsafe { _mm256_loadu_ps(right.numbers.as_ptr().add(place)) };
            for row in 0..ROWS {
                sums[row][half] = _mm256_fmadd_ps(factors[row], loaded, sums[row][half]);
            }
        }
    }
    for row in 0..ROWS {
        for half in 0..HALVES {
            // SAFETY: as this function's.
            unsafe {
                _mm256_storeu_ps(
                    out.as_mut_ptr().add(row * stride + half * 8),
                    sums[row][half],
                )
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(index: usize) -> f32 {
        (index * 7_919 % 2_003) as f32 / 1_000.0 - 1.0
    }

    #[test]
    fn products_of_all_shapes_are_those_of_a_plain_loop_to_the_bit_on_every_instruction_set() {
        let (terms, [left_stride, right_stride, stride]) = (19, [23, 100, 110]);
        let [left, right]: [Vec<f32>; 2] =
            [9 * left_stride, terms * right_stride].map(|it| (0..it).map(number).collect());
        let before: Vec<f32> = (0..9 * stride).map(|it| number(it + 5)).collect();
        for (rows, columns) in (0..=8).flat_map(|it| [16, 32, 48, 64, 96].map(|wide| (it, wide))) {
            let mut exact = before.clone();
            for (row, column) in (0..rows).flat_map(|it| (0..columns).map(move |at| (it, at))) {
                let sum = &mut exact[row * stride + column];
                for term in 0..terms {
                    let factor = left[row * left_stride + term];
                    *sum = factor.mul_add(right[term * right_stride + column], *sum);
                }
            }
            for isa in Isa::available() {
                let mut out = before.clone();
                let side = |numbers, stride| Matrix { numbers, stride };
                let sides = [side(&left, left_stride), side(&right, right_stride)];
                add_product(isa, [rows, terms, columns], sides, (&mut out, stride));
                assert!(out == exact, "{rows} rows, {columns} columns, {isa:?}");
            }
        }
    }
}
