//! The AVX2 kernel for many rows: each group of a tile is unpacked once, then all rows pass by it.
//!
//! The registers cannot hold the totals of four rows beside their integer sums in any case, so nothing
//! is lost by keeping the totals of all rows in memory, and what does not depend on the row (unpacking,
//! widening scales) is done once for all of them.

use std::arch::x86_64::*;

use super::GROUP;
use super::activations::{ActivationGroup, QuantizedRows};
use super::avx2::{
    Halves, add, broadcast, halves_of_codes, in_register, joined, scaled, unpack, widen,
};
use super::coding::{Coded, Coding};
use super::tile::Tile;
use crate::isa::prefetch;
use crate::lanes::Lanes;

/// Rows that share the registers.
const ROWS: usize = 4;

/// A group's lifted integers: eight quads of both halves, or of the low and the high four bits of the
/// first half and then of the second.
type Unpacked = [Halves<__m256i>; 16];

/// Puts the products of the rows from `first` on with the tile's columns into `results`.
///
/// # Safety
/// As for `TileKernel::rows`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn many_rows<C: Coded, S, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes],
) where
    S: super::scales::StoredScale,
{
    let (groups, parts) = (rows.k() / GROUP, C::CODING.parts());
    let mut unpacked = [[_mm256_setzero_si256(); 2]; 16];
    results.fill([0.0; 16]);
    for group in 0..groups {
        let lines = group * C::CODING.lines()..(group + 1) * C::CODING.lines();
        tile.next
            .iter()
            .skip(lines.start)
            .take(lines.len())
            .for_each(prefetch);
        // SAFETY: the caller promises the tile and each row so many groups.
        unsafe {
            unpack_group::<C>(tile.codes[lines].as_ptr().cast(), &mut unpacked);
            for part in 0..parts {
                let scales = widen(tile.scales, group, (part, parts));
                let minima = if MINIMUM {
                    widen(tile.minima, group, (part, parts))
                } else {
                    scales
                };
                let x = rows.row(first).as_ptr().add(group);
                let factors = (scales, minima, part);
                add_group::<C, MINIMUM>(&unpacked, (x, groups), factors, results);
            }
        }
    }
}

/// Adds one part of a group to the totals of all rows, whose groups lie `stride` apart from `x` on.
#[inline(always)]
unsafe fn add_group<C: Coded, const MINIMUM: bool>(
    unpacked: &Unpacked,
    (mut x, stride): (*const ActivationGroup, usize),
    factors: (Halves<__m256>, Halves<__m256>, usize),
    results: &mut [Lanes],
) {
    let mut blocks = results.chunks_exact_mut(ROWS);
    // SAFETY: each row has a group, and the caller has the instruction set.
    unsafe {
        for block in &mut blocks {
            add_rows::<C, ROWS, MINIMUM>(unpacked, (x, stride), factors, block);
            x = x.add(ROWS * stride);
        }
        for row in blocks.into_remainder().chunks_exact_mut(1) {
            add_rows::<C, 1, MINIMUM>(unpacked, (x, stride), factors, row);
            x = x.add(stride);
        }
    }
}

/// The same for a few rows.
#[inline(always)]
unsafe fn add_rows<C: Coded, const ROWS: usize, const MINIMUM: bool>(
    unpacked: &Unpacked,
    (first, stride): (*const ActivationGroup, usize),
    factors: (Halves<__m256>, Halves<__m256>, usize),
    totals: &mut [Lanes],
) {
    // SAFETY: each row has a group, and the caller has the instruction set.
    unsafe {
        let mut x = [first; ROWS];
        for row in 0..ROWS {
            x[row] = first.add(row * stride);
        }
        let sums = integer_sums::<C, ROWS>(unpacked, x, factors.2);
        for row in 0..ROWS {
            let place = totals[row].as_mut_ptr();
            let total = [_mm256_loadu_ps(place), _mm256_loadu_ps(place.add(8))];
            let total = scaled::<C, MINIMUM>(total, sums[row], x[row], factors);
            _mm256_storeu_ps(place, total[0]);
            _mm256_storeu_ps(place.add(8), total[1]);
        }
    }
}

/// Unpacks a group.
#[inline(always)]
unsafe fn unpack_group<C: Coded>(lines: *const u8, unpacked: &mut Unpacked) {
    // SAFETY: the caller has AVX2 and the group's lines.
    unsafe {
        for quad in 0..8 {
            if is_split(C::CODING) {
                for half in 0..2 {
                    unpacked[8 * half + quad] = halves_of_codes::<C>(lines, quad, half);
                }
            } else {
                unpacked[quad] = [unpack::<C>(lines, quad, 0), unpack::<C>(lines, quad, 1)];
            }
        }
    }
}

/// Whether integers are taken apart into four low and four high bits.
const fn is_split(coding: Coding) -> bool {
    matches!(coding, Coding::EightBits | Coding::Curve)
}

/// Sums of products of one part of a group, as `avx2::integer_sums` has them.
#[inline(always)]
unsafe fn integer_sums<C: Coded, const ROWS: usize>(
    unpacked: &Unpacked,
    x: [*const ActivationGroup; ROWS],
    part: usize,
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2 and a group a row.
    unsafe {
        match C::CODING {
            Coding::EightBits | Coding::Curve => split_sums::<ROWS>(unpacked, x),
            Coding::SixBits => {
                let first = wide_sums::<ROWS, 2>(unpacked, x, 4 * part);
                add(first, wide_sums::<ROWS, 2>(unpacked, x, 4 * part + 2))
            }
            Coding::FiveBits | Coding::Floats => {
                let first = wide_sums::<ROWS, 4>(unpacked, x, 0);
                add(first, wide_sums::<ROWS, 4>(unpacked, x, 4))
            }
            Coding::TwoBits | Coding::ThreeBits => wide_sums::<ROWS, 4>(unpacked, x, 4 * part),
            Coding::FourBits => wide_sums::<ROWS, 8>(unpacked, x, 0),
        }
    }
}

/// Sums over `QUADS` quads from `first` on, kept in 16 bits until the end.
#[inline(always)]
unsafe fn wide_sums<const ROWS: usize, const QUADS: usize>(
    unpacked: &Unpacked,
    x: [*const ActivationGroup; ROWS],
    first: usize,
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2 and a group a row.
    unsafe {
        let mut sums = narrow_sums::<ROWS, QUADS>(&unpacked[first..first + QUADS], x, first);
        let ones = _mm256_set1_epi16(1);
        for row in 0..ROWS {
            for half in 0..2 {
                sums[row][half] = _mm256_madd_epi16(sums[row][half], ones);
            }
        }
        sums
    }
}

/// Sums over all eight quads of both four bits of split integers.
#[inline(always)]
unsafe fn split_sums<const ROWS: usize>(
    unpacked: &Unpacked,
    x: [*const ActivationGroup; ROWS],
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2 and a group a row.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for half in 0..2 {
            let split = narrow_sums::<ROWS, 8>(&unpacked[8 * half..8 * half + 8], x, 0);
            for row in 0..ROWS {
                sums[row][half] = joined(split[row]);
            }
        }
        sums
    }
}

/// Sixteen-bit sums of products of `QUADS` pairs of registers with the rows' quads from `first` on.
#[inline(always)]
unsafe fn narrow_sums<const ROWS: usize, const QUADS: usize>(
    weights: &[Halves<__m256i>],
    x: [*const ActivationGroup; ROWS],
    first: usize,
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2 and a group a row.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for row in 0..ROWS {
            let x = broadcast(x[row], first);
            for side in 0..2 {
                sums[row][side] = in_register(_mm256_maddubs_epi16(weights[0][side], x));
            }
        }
        for quad in 1..QUADS {
            for row in 0..ROWS {
                let x = broadcast(x[row], first + quad);
                for side in 0..2 {
                    let products = _mm256_maddubs_epi16(weights[quad][side], x);
                    sums[row][side] = in_register(_mm256_add_epi16(sums[row][side], products));
                }
            }
        }
        sums
    }
}
