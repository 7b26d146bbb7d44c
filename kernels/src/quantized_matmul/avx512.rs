//! The kernel for AVX-512 with VNNI: one register of sixteen columns, eight rows at a time.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to each column's lane, so
//! unsigned codes need no care for overflow. Signed 8-bit codes are read with 128 added, and 128
//! times the activations' sum is taken off again: exact, since everything is an integer.

use std::arch::x86_64::*;

use super::GROUP;
use super::activations::{ActivationGroup, QuantizedRows};
use super::packed::{TILE, lines_per_group, scales_per_group};
use super::scales::StoredScale;
use super::tile::{Tile, TileKernel, unsigned_zero};
use crate::lanes::Lanes;

/// The kernel for AVX-512 (F, BW, VL, VNNI).
pub(crate) struct Avx512;

impl TileKernel for Avx512 {
    const ROWS_MAX: usize = 8;

    unsafe fn rows<const ROWS: usize, const BITS: u32, const MINIMUM: bool, S: StoredScale>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe { rows_avx512::<ROWS, BITS, MINIMUM, S>(tile, rows, first, results) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn rows_avx512<const ROWS: usize, const BITS: u32, const MINIMUM: bool, S: StoredScale>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes; ROWS],
) {
    let parts = scales_per_group(BITS);
    let mut total = [_mm512_setzero_ps(); ROWS];
    let mut x = [std::ptr::null::<ActivationGroup>(); ROWS];
    for row in 0..ROWS {
        x[row] = rows.row(first + row).as_ptr();
    }
    let (lines, scales) = (tile.codes.as_ptr().cast::<u8>(), tile.scales.as_ptr());
    for group in 0..rows.k() / GROUP {
        // SAFETY: the caller promises the tile `k / 32` groups, and each row has as many.
        unsafe {
            let lines = lines.add(group * lines_per_group(BITS) * 64);
            for part in 0..parts {
                let sums = integer_sums::<ROWS, BITS>(lines, x, part);
                let scales = widen(scales.add((group * parts + part) * TILE));
                for row in 0..ROWS {
                    let zero = unsigned_zero(BITS, MINIMUM) * (*x[row]).code_sum::<BITS>(part);
                    let centred = _mm512_sub_epi32(sums[row], _mm512_set1_epi32(zero));
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps((*x[row]).scale));
                    total[row] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(centred), total[row]);
                }
            }
            if MINIMUM {
                let minima = widen(tile.minima.as_ptr().add(group * TILE));
                for row in 0..ROWS {
                    let sum_x = _mm512_set1_ps((*x[row]).scaled_sum);
                    total[row] = _mm512_fmadd_ps(minima, sum_x, total[row]);
                }
            }
            for row in 0..ROWS {
                x[row] = x[row].add(1);
            }
        }
    }
    for row in 0..ROWS {
        // SAFETY: sixteen lanes are one register.
        unsafe { _mm512_storeu_ps(results[row].as_mut_ptr(), total[row]) };
    }
}

/// Sixteen scales in single precision.
///
/// # Safety
/// The processor must have AVX-512; `start` points to sixteen scales.
#[inline(always)]
unsafe fn widen<S: StoredScale>(start: *const S) -> __m512 {
    // SAFETY: sixteen elements of two or four bytes each, by the caller's promise.
    unsafe {
        if size_of::<S>() == 2 {
            _mm512_cvtph_ps(_mm256_loadu_si256(start.cast()))
        } else {
            _mm512_loadu_ps(start.cast())
        }
    }
}

/// Sums of products of one part of a group (all eight quads, or four of them).
///
/// # Safety
/// `lines` has a group's lines, each of `x` is a group, and the processor has AVX-512.
#[inline(always)]
unsafe fn integer_sums<const ROWS: usize, const BITS: u32>(
    lines: *const u8,
    x: [*const ActivationGroup; ROWS],
    part: usize,
) -> [__m512i; ROWS] {
    let quads_per_part = 8 / scales_per_group(BITS);
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for quad in part * quads_per_part..(part + 1) * quads_per_part {
            let weights = unpack::<BITS>(lines, quad);
            for row in 0..ROWS {
                let x = _mm512_set1_epi32(x[row].cast::<i32>().add(quad).read());
                sums[row] = _mm512_dpbusd_epi32(sums[row], weights, x);
            }
        }
        sums
    }
}

/// The unsigned codes of sixteen columns in one quad.
#[inline(always)]
unsafe fn unpack<const BITS: u32>(lines: *const u8, quad: usize) -> __m512i {
    // SAFETY: the caller has AVX-512 and the group's lines.
    unsafe {
        if BITS == 8 {
            let signed = _mm512_load_si512(lines.add(quad * 64).cast());
            return _mm512_xor_si512(signed, _mm512_set1_epi8(i8::MIN));
        }
        let nibbles = _mm512_load_si512(lines.add(quad / 2 * 64).cast());
        let nibbles = if quad.is_multiple_of(2) {
            nibbles
        } else {
            _mm512_srli_epi16::<4>(nibbles)
        };
        let low = _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
        match BITS {
            5 => {
                let is_set = lines.add(256 + 8 * quad).cast::<u64>().read_unaligned();
                _mm512_mask_add_epi8(low, is_set, low, _mm512_set1_epi8(16))
            }
            6 => {
                let shift = _mm512_set1_epi32(2 * (quad % 4) as i32);
                let pairs = _mm512_load_si512(lines.add(256 + quad / 4 * 64).cast());
                let pairs = _mm512_srlv_epi32(pairs, shift);
                let high = _mm512_slli_epi16::<4>(_mm512_and_si512(pairs, _mm512_set1_epi8(3)));
                _mm512_or_si512(low, high)
            }
            _ => low,
        }
    }
}
