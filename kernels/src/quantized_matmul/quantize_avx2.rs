//! Rounding activations to eight bits with AVX2: the portable code's steps, eight lanes at a time.
//!
//! Written out, since the compiler vectorises the portable code around its reductions: two lanes at
//! a time, five times as slow.

use std::arch::x86_64::*;

use super::GROUP;
use super::activations::{ActivationGroup, ROUNDING};

/// Fills `groups` from as many times 32 values of `x`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn quantize_groups(x: &[f32], groups: &mut [ActivationGroup]) {
    for (values, group) in x.chunks_exact(GROUP).zip(groups) {
        quantize_group(values, group);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn quantize_group(values: &[f32], group: &mut ActivationGroup) {
    let mut x = [_mm256_setzero_ps(); 4];
    let mut largest = _mm256_setzero_ps();
    for (x, values) in x.iter_mut().zip(values.chunks_exact(8)) {
        // SAFETY: the chunk has eight values.
        *x = unsafe { _mm256_loadu_ps(values.as_ptr()) };
        // Where either is not a number, `max` gives its second operand: such values are passed over.
        let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), *x);
        largest = _mm256_max_ps(magnitude, largest);
    }
    let most = largest_lane(largest);
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    let codes = codes(&x, inverse);
    // Sums of four neighbours, then of the sixteen in each half of the register.
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    let eights = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0b01_00_11_10>(fours));
    let sums = _mm256_add_epi32(eights, _mm256_shuffle_epi32::<0b10_11_00_01>(eights));
    // SAFETY: the group's codes are 32 bytes.
    unsafe { _mm256_storeu_si256(group.codes.as_mut_ptr().cast(), codes) };
    group.sums = [
        _mm256_extract_epi32::<0>(sums),
        _mm256_extract_epi32::<4>(sums),
    ];
    group.scale = most / 127.0;
    group.scaled_sum = group.scale * (group.sums[0] + group.sums[1]) as f32;
}

#[inline]
#[target_feature(enable = "avx2")]
fn largest_lane(lanes: __m256) -> f32 {
    let four = _mm_max_ps(
        _mm256_castps256_ps128(lanes),
        _mm256_extractf128_ps::<1>(lanes),
    );
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

/// The low bytes of the rounded quotients, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn codes(x: &[__m256; 4], inverse: f32) -> __m256i {
    let inverse = _mm256_set1_ps(inverse);
    let mut whole = [_mm256_setzero_si256(); 4];
    for (whole, &x) in whole.iter_mut().zip(x) {
        let rounded = _mm256_add_ps(_mm256_mul_ps(x, inverse), _mm256_set1_ps(ROUNDING));
        let bits = _mm256_castps_si256(rounded);
        *whole = _mm256_srai_epi32::<24>(_mm256_slli_epi32::<24>(bits));
    }
    let first = _mm256_packs_epi32(whole[0], whole[1]);
    let second = _mm256_packs_epi32(whole[2], whole[3]);
    // Packing works within each half of the register; the permutation puts fours in order again.
    let packed = _mm256_packs_epi16(first, second);
    _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
