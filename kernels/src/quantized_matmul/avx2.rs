//! The kernel for AVX2: two registers of eight columns, four rows at a time.
//!
//! Products of bytes are summed in 16 bits as long as they cannot overflow: eight quads of 4-bit
//! codes (8 * 2 * 15 * 127 = 30,480), four of up to 5-bit, two of 6-bit codes. Integers of eight bits
//! get 128 added and are taken apart into two times four bits; where four bits choose from a table,
//! one table gives the low and another the high half.
//!
//! What brought this to its speed, measured on a Zen 3 with two cores (a quad here: four rows by
//! sixteen columns by four weights):
//!
//! * No closure and no `map` in the hot part: their bodies are compiled without the vector
//!   instructions, so each became a call that passes registers through memory. Four to five times.
//! * Sums pinned to registers in program order (`in_register`). Otherwise the compiler reorders the
//!   additions of a whole group and spills half of them. A tenth of prefill; a quad then takes about
//!   7.3 cycles, where eight multiply-adds and eight additions alone take 4.7, with their loads and
//!   the unpacking 5.5, and the conversions and scales of a group come on top.
//! * Asking for the next tile while rows pass by this one, and results written in place.
//! * For eight rows and more, unpacking a group once for all rows (`unpacked_avx2`): 9 % of decoding 32
//!   sequences, 7 % of prefill.
//!
//! What did not help: taking 8-bit codes apart instead of moving the weight's sign to the activation
//! takes 12 cycles a quad either way. It is kept since both x86 kernels then have the same zero.

use std::arch::asm;
use std::arch::x86_64::*;

use super::GROUP;
use super::activations::{ActivationGroup, QuantizedRows};
use super::coding::{Coded, Coding};
use super::packed::TILE;
use super::scales::{GROUPS_PER_UNIT, ScaleView, StoredScale};
use super::tile::{Tile, TileKernel, in_blocks};
use super::unpacked_avx2;
use crate::lanes::Lanes;

/// The kernel for AVX2, FMA and F16C.
pub(crate) struct Avx2;

/// Rows from which on a group is unpacked for all of them.
const ROWS_WORTH_UNPACKING: usize = 8;

/// Eight columns each.
pub(super) type Halves<T> = [T; 2];

impl TileKernel for Avx2 {
    const ROWS_MAX: usize = 4;

    unsafe fn rows<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe { rows_avx2::<C, S, ROWS, MINIMUM>(tile, rows, first, results) }
    }

    unsafe fn many_rows<C: Coded, S: StoredScale, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes],
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            if results.len() < ROWS_WORTH_UNPACKING {
                in_blocks::<Self, C, S, MINIMUM>(tile, rows, first, results);
            } else {
                unpacked_avx2::many_rows::<C, S, MINIMUM>(tile, rows, first, results);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows_avx2<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes; ROWS],
) {
    let parts = C::CODING.parts();
    let mut total = [[_mm256_setzero_ps(); 2]; ROWS];
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
                let minima = if MINIMUM {
                    widen(tile.minima, group, (part, parts))
                } else {
                    [_mm256_setzero_ps(); 2]
                };
                for row in 0..ROWS {
                    let factors = (scales, minima, part);
                    total[row] = scaled::<C, MINIMUM>(total[row], sums[row], x[row], factors);
                }
            }
            for row in 0..ROWS {
                x[row] = x[row].add(1);
            }
        }
    }
    for row in 0..ROWS {
        // SAFETY: sixteen lanes are two registers of eight.
        unsafe {
            _mm256_storeu_ps(results[row].as_mut_ptr(), total[row][0]);
            _mm256_storeu_ps(results[row].as_mut_ptr().add(8), total[row][1]);
        }
    }
}

/// Adds one part of a group to a row's totals.
///
/// # Safety
/// The processor must have AVX2 and FMA, and `x` be a group.
#[inline(always)]
pub(super) unsafe fn scaled<C: Coded, const MINIMUM: bool>(
    mut total: Halves<__m256>,
    sums: Halves<__m256i>,
    x: *const ActivationGroup,
    (scales, minima, part): (Halves<__m256>, Halves<__m256>, usize),
) -> Halves<__m256> {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = C::CODING.lifted_zero(MINIMUM) * (*x).code_sum::<C>(part);
        let zero = _mm256_set1_epi32(zero);
        let scale_x = _mm256_set1_ps((*x).scale);
        let sum_x = _mm256_set1_ps((*x).scaled_code_sum::<C>(part));
        for half in 0..2 {
            let centred = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums[half], zero));
            let scale = _mm256_mul_ps(scales[half], scale_x);
            total[half] = _mm256_fmadd_ps(scale, centred, total[half]);
            if MINIMUM {
                total[half] = _mm256_fmadd_ps(minima[half], sum_x, total[half]);
            }
        }
    }
    total
}

/// A group's sixteen scales in one of `parts` parts, in single precision.
///
/// # Safety
/// The processor must have AVX2 and F16C, and the view the group.
#[inline(always)]
pub(super) unsafe fn widen<S: StoredScale>(
    view: ScaleView<'_, S>,
    group: usize,
    (part, parts): (usize, usize),
) -> Halves<__m256> {
    // SAFETY: the view has sixteen elements of one, two or four bytes for each part, by the caller's
    // promise, and sixteen units for each eight groups where elements have one byte.
    unsafe {
        let start = view.values.as_ptr().add((group * parts + part) * TILE);
        match size_of::<S>() {
            1 => {
                let times = _mm_loadu_si128(start.cast());
                let times = [times, _mm_unpackhi_epi64(times, times)];
                let units = view.units.as_ptr().add(group / GROUPS_PER_UNIT * TILE);
                let times = [
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(times[0])),
                    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(times[1])),
                ];
                [
                    _mm256_mul_ps(_mm256_loadu_ps(units), times[0]),
                    _mm256_mul_ps(_mm256_loadu_ps(units.add(8)), times[1]),
                ]
            }
            2 => {
                let start = start.cast::<__m128i>();
                let (left, right) = (_mm_loadu_si128(start), _mm_loadu_si128(start.add(1)));
                [_mm256_cvtph_ps(left), _mm256_cvtph_ps(right)]
            }
            _ => {
                let start = start.cast::<f32>();
                [_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))]
            }
        }
    }
}

/// Sums of products of one part of a group (all eight quads, or four of them).
///
/// # Safety
/// `lines` has a group's lines, each of `x` is a group, and the processor has AVX2.
#[inline(always)]
unsafe fn integer_sums<C: Coded, const ROWS: usize>(
    lines: *const u8,
    x: [*const ActivationGroup; ROWS],
    part: usize,
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match C::CODING {
            Coding::EightBits | Coding::Curve => split_sums::<C, ROWS>(lines, x),
            Coding::SixBits => {
                let first = wide_sums::<C, ROWS, 1>(lines, x, 2 * part);
                add(first, wide_sums::<C, ROWS, 1>(lines, x, 2 * part + 1))
            }
            Coding::FiveBits | Coding::Floats => {
                let first = wide_sums::<C, ROWS, 2>(lines, x, 0);
                add(first, wide_sums::<C, ROWS, 2>(lines, x, 2))
            }
            Coding::TwoBits | Coding::ThreeBits => wide_sums::<C, ROWS, 2>(lines, x, 2 * part),
            Coding::FourBits => wide_sums::<C, ROWS, 4>(lines, x, 0),
        }
    }
}

#[inline(always)]
pub(super) unsafe fn add<const ROWS: usize>(
    mut left: [Halves<__m256i>; ROWS],
    right: [Halves<__m256i>; ROWS],
) -> [Halves<__m256i>; ROWS] {
    for row in 0..ROWS {
        for half in 0..2 {
            // SAFETY: the caller has AVX2.
            left[row][half] = unsafe { _mm256_add_epi32(left[row][half], right[row][half]) };
        }
    }
    left
}

/// Sums over `PAIRS` pairs of quads from pair `first` on, kept in 16 bits until the end.
#[inline(always)]
unsafe fn wide_sums<C: Coded, const ROWS: usize, const PAIRS: usize>(
    lines: *const u8,
    x: [*const ActivationGroup; ROWS],
    first: usize,
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2, the group's lines and a group a row.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for pair in first..first + PAIRS {
            for parity in 0..2 {
                let quad = 2 * pair + parity;
                let weights = [unpack::<C>(lines, quad, 0), unpack::<C>(lines, quad, 1)];
                for row in 0..ROWS {
                    let x = broadcast(x[row], quad);
                    for half in 0..2 {
                        let products = _mm256_maddubs_epi16(weights[half], x);
                        let sum = _mm256_add_epi16(sums[row][half], products);
                        sums[row][half] = in_register(sum);
                    }
                }
            }
        }
        let ones = _mm256_set1_epi16(1);
        for row in 0..ROWS {
            for half in 0..2 {
                sums[row][half] = _mm256_madd_epi16(sums[row][half], ones);
            }
        }
        sums
    }
}

/// The same value, but in a register now: the compiler can neither reorder the sums around it nor
/// begin the next quad before this one is done.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn in_register(mut value: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Four codes of a row in every lane.
#[inline(always)]
pub(super) unsafe fn broadcast(x: *const ActivationGroup, quad: usize) -> __m256i {
    // SAFETY: the caller has AVX2 and a group, whose first 32 bytes are its codes.
    unsafe { _mm256_set1_epi32(x.cast::<i32>().add(quad).read()) }
}

/// The lifted integers of eight columns in one quad, where they have at most six bits.
#[inline(always)]
pub(super) unsafe fn unpack<C: Coded>(lines: *const u8, quad: usize, half: usize) -> __m256i {
    // SAFETY: the caller has AVX2 and the group's lines.
    unsafe {
        let low = low_bits::<C>(lines, quad, half);
        let behind = lines.add(64 * C::CODING.low_bits());
        match C::CODING {
            Coding::ThreeBits | Coding::FiveBits => {
                let bits = behind.add(8 * quad + 4 * half).cast::<i32>();
                let high = _mm256_set1_epi8(1 << C::CODING.low_bits());
                let is_set = spread_bits(bits.read_unaligned());
                _mm256_or_si256(low, _mm256_and_si256(is_set, high))
            }
            Coding::SixBits => {
                let line = behind.add(quad / 4 * 64 + 32 * half);
                let pairs = shifted(line, 2 * (quad % 4));
                let high = _mm256_slli_epi16::<4>(_mm256_and_si256(pairs, _mm256_set1_epi8(3)));
                _mm256_or_si256(low, high)
            }
            Coding::Floats => {
                _mm256_shuffle_epi8(table(const { C::CODING.lifted_table(0, u8::MAX) }), low)
            }
            _ => low,
        }
    }
}

/// The bits of a quad's codes that lie in the first lines.
#[inline(always)]
unsafe fn low_bits<C: Coded>(lines: *const u8, quad: usize, half: usize) -> __m256i {
    let bits = C::CODING.low_bits();
    let quads_per_line = 8 / bits;
    // SAFETY: the caller has AVX2 and the group's lines.
    unsafe {
        let line = lines.add(quad / quads_per_line * 64 + 32 * half);
        let codes = match (bits, quad % quads_per_line) {
            (_, 0) => _mm256_load_si256(line.cast()),
            (4, _) => _mm256_srli_epi16::<4>(_mm256_load_si256(line.cast())),
            (_, place) => shifted(line, place * bits),
        };
        let mask = (u8::MAX >> (8 - bits)).cast_signed();
        _mm256_and_si256(codes, _mm256_set1_epi8(mask))
    }
}

/// Half a line, shifted right by fewer than eight bits; the upper bits of a byte come from its
/// neighbour.
#[inline(always)]
unsafe fn shifted(line: *const u8, bits: usize) -> __m256i {
    // SAFETY: the caller has AVX2 and half a line.
    unsafe {
        let shift = _mm256_set1_epi32(bits as i32);
        _mm256_srlv_epi32(_mm256_load_si256(line.cast()), shift)
    }
}

/// Sixteen bytes that codes choose from.
#[inline(always)]
unsafe fn table(bytes: [u8; 16]) -> __m256i {
    // SAFETY: the caller has AVX2, and the bytes fill the register.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast())) }
}

/// All ones in each byte whose bit is set.
#[inline(always)]
unsafe fn spread_bits(bits: i32) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let eighths = _mm256_setr_epi8(
            0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3,
            3, 3, 3,
        );
        let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), eighths);
        let own_bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        _mm256_cmpeq_epi8(_mm256_and_si256(spread, own_bit), own_bit)
    }
}

/// Sums over all eight quads of integers with 128 added: the low and high four bits of each apart, so
/// that their products, too, stay in 16 bits.
#[inline(always)]
unsafe fn split_sums<C: Coded, const ROWS: usize>(
    lines: *const u8,
    x: [*const ActivationGroup; ROWS],
) -> [Halves<__m256i>; ROWS] {
    // SAFETY: the caller has AVX2, the group's lines and a group a row.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for half in 0..2 {
            let mut split = [[_mm256_setzero_si256(); 2]; ROWS];
            for quad in 0..8 {
                let weights = halves_of_codes::<C>(lines, quad, half);
                for row in 0..ROWS {
                    let x = broadcast(x[row], quad);
                    for part in 0..2 {
                        let products = _mm256_maddubs_epi16(weights[part], x);
                        split[row][part] =
                            in_register(_mm256_add_epi16(split[row][part], products));
                    }
                }
            }
            for row in 0..ROWS {
                sums[row][half] = joined(split[row]);
            }
        }
        sums
    }
}

/// The sums of whole integers from those of their low and their high four bits.
#[inline(always)]
pub(super) unsafe fn joined(split: [__m256i; 2]) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let low = _mm256_madd_epi16(split[0], _mm256_set1_epi16(1));
        let high = _mm256_madd_epi16(split[1], _mm256_set1_epi16(16));
        _mm256_add_epi32(low, high)
    }
}

/// The low and the high four bits of the lifted integers of eight columns in one quad.
#[inline(always)]
pub(super) unsafe fn halves_of_codes<C: Coded>(
    lines: *const u8,
    quad: usize,
    half: usize,
) -> [__m256i; 2] {
    // SAFETY: the caller has AVX2 and the group's lines.
    unsafe {
        let codes = low_bits::<C>(lines, quad, half);
        if C::CODING == Coding::EightBits {
            let lifted = _mm256_xor_si256(codes, _mm256_set1_epi8(i8::MIN));
            let low_half = _mm256_set1_epi8(15);
            [
                _mm256_and_si256(lifted, low_half),
                _mm256_and_si256(_mm256_srli_epi16::<4>(lifted), low_half),
            ]
        } else {
            let low = const { C::CODING.lifted_table(0, 15) };
            let high = const { C::CODING.lifted_table(4, 15) };
            [
                _mm256_shuffle_epi8(table(low), codes),
                _mm256_shuffle_epi8(table(high), codes),
            ]
        }
    }
}
