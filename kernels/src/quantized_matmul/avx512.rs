//! The kernel for AVX-512 with VNNI: one register of sixteen columns, eight rows at a time.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to each column's lane, so
//! unsigned codes need no care for overflow. Signed 8-bit codes are read with 128 added, and 128
//! times the activations' sum is taken off again: exact, since everything is an integer.

use std::arch::x86_64::*;

use super::GROUP;
use super::activations::{ActivationGroup, QuantizedRows};
use super::coding::{Coded, Coding};
use super::packed::TILE;
use super::scales::{GROUPS_PER_UNIT, ScaleView, StoredScale};
use super::tile::{Tile, TileKernel};
use crate::lanes::Lanes;

/// The kernel for AVX-512 (F, BW, VL, VNNI).
pub(crate) struct Avx512;

impl TileKernel for Avx512 {
    const ROWS_MAX: usize = 8;

    unsafe fn rows<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe { rows_avx512::<C, S, ROWS, MINIMUM>(tile, rows, first, results) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn rows_avx512<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes; ROWS],
) {
    let parts = C::CODING.parts();
    let mut total = [_mm512_setzero_ps(); ROWS];
    let mut x = [std::ptr::null::<ActivationGroup>(); ROWS];
    for row in 0..ROWS {
        x[row] = rows.row(first + row).as_ptr();
    }
    let lines = tile.codes.as_ptr().cast::<u8>();
    for group in 0..rows.k() / GROUP {
        // SAFETY: the caller promises the tile `k / 32` groups, and each row has as many.
        unsafe {
            let lines = lines.add(group * C::CODING.lines() * 64);
            for part in 0..parts {
                let sums = integer_sums::<C, ROWS>(lines, x, part);
                let scales = widen(tile.scales, group, (part, parts));
                for row in 0..ROWS {
                    let zero = C::CODING.lifted_zero(MINIMUM) * (*x[row]).code_sum::<C>(part);
                    let centred = _mm512_sub_epi32(sums[row], _mm512_set1_epi32(zero));
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps((*x[row]).scale));
                    total[row] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(centred), total[row]);
                }
                if MINIMUM {
                    let minima = widen(tile.minima, group, (part, parts));
                    for row in 0..ROWS {
                        let sum_x = _mm512_set1_ps((*x[row]).scaled_code_sum::<C>(part));
                        total[row] = _mm512_fmadd_ps(minima, sum_x, total[row]);
                    }
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

/// A group's sixteen scales in one of `parts` parts, in single precision.
///
/// # Safety
/// The processor must have AVX-512, and the view the group.
#[inline(always)]
unsafe fn widen<S: StoredScale>(
    view: ScaleView<'_, S>,
    group: usize,
    (part, parts): (usize, usize),
) -> __m512 {
    // SAFETY: the view has sixteen elements of one, two or four bytes for each part, by the caller's
    // promise, and sixteen units for each eight groups where elements have one byte.
    unsafe {
        let start = view.values.as_ptr().add((group * parts + part) * TILE);
        match size_of::<S>() {
            1 => {
                let times = _mm512_cvtepi8_epi32(_mm_loadu_si128(start.cast()));
                let units = view.units.as_ptr().add(group / GROUPS_PER_UNIT * TILE);
                _mm512_mul_ps(_mm512_loadu_ps(units), _mm512_cvtepi32_ps(times))
            }
            2 => _mm512_cvtph_ps(_mm256_loadu_si256(start.cast())),
            _ => _mm512_loadu_ps(start.cast()),
        }
    }
}

/// Sums of products of one part of a group (all eight quads, or four of them).
///
/// # Safety
/// `lines` has a group's lines, each of `x` is a group, and the processor has AVX-512.
#[inline(always)]
unsafe fn integer_sums<C: Coded, const ROWS: usize>(
    lines: *const u8,
    x: [*const ActivationGroup; ROWS],
    part: usize,
) -> [__m512i; ROWS] {
    let quads_per_part = 8 / C::CODING.parts();
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for quad in part * quads_per_part..(part + 1) * quads_per_part {
            let weights = unpack::<C>(lines, quad);
            for row in 0..ROWS {
                let x = _mm512_set1_epi32(x[row].cast::<i32>().add(quad).read());
                sums[row] = _mm512_dpbusd_epi32(sums[row], weights, x);
            }
        }
        sums
    }
}

/// The lifted integers of sixteen columns in one quad.
#[inline(always)]
unsafe fn unpack<C: Coded>(lines: *const u8, quad: usize) -> __m512i {
    // SAFETY: the caller has AVX-512 and the group's lines.
    unsafe {
        let low = low_bits::<C>(lines, quad);
        let behind = lines.add(64 * C::CODING.low_bits());
        match C::CODING {
            Coding::EightBits => _mm512_xor_si512(low, _mm512_set1_epi8(i8::MIN)),
            Coding::ThreeBits | Coding::FiveBits => {
                let is_set = behind.add(8 * quad).cast::<u64>().read_unaligned();
                let bit = _mm512_set1_epi8(1 << C::CODING.low_bits());
                _mm512_mask_add_epi8(low, is_set, low, bit)
            }
            Coding::SixBits => {
                let pairs = shifted(behind.add(quad / 4 * 64), 2 * (quad % 4));
                let high = _mm512_slli_epi16::<4>(_mm512_and_si512(pairs, _mm512_set1_epi8(3)));
                _mm512_or_si512(low, high)
            }
            Coding::Curve | Coding::Floats => {
                let table = const { C::CODING.lifted_table(0, u8::MAX) };
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
                _mm512_shuffle_epi8(table, low)
            }
            Coding::TwoBits | Coding::FourBits => low,
        }
    }
}

/// The bits of a quad's codes that lie in the first lines.
#[inline(always)]
unsafe fn low_bits<C: Coded>(lines: *const u8, quad: usize) -> __m512i {
    let bits = C::CODING.low_bits();
    let quads_per_line = 8 / bits;
    // SAFETY: the caller has AVX-512 and the group's lines.
    unsafe {
        let line = lines.add(quad / quads_per_line * 64);
        let codes = shifted(line, quad % quads_per_line * bits);
        _mm512_and_si512(
            codes,
            _mm512_set1_epi8((u8::MAX >> (8 - bits)).cast_signed()),
        )
    }
}

/// A line, shifted right by fewer than eight bits; the upper bits of a byte come from its neighbour.
#[inline(always)]
unsafe fn shifted(line: *const u8, bits: usize) -> __m512i {
    // SAFETY: the caller has AVX-512 and a line.
    unsafe {
        let shift = _mm512_set1_epi32(bits as i32);
        _mm512_srlv_epi32(_mm512_load_si512(line.cast()), shift)
    }
}
