//! Products of bytes by AVX-512 VNNI: `vpdpbusd`, which multiplies and adds at once.

use std::arch::x86_64::*;

/// Sums side by side: more than one instruction takes cycles on two ports.
const SUMS: usize = 16;
/// Operations of one round: a register has 64 bytes.
pub(super) const OPERATIONS: u64 = 2 * 64 * SUMS as u64;
/// Rounds until sums of ones would leave thirty-two bits.
const ROUNDS_PER_SUM: u64 = 1 << 28;

/// Multiplies ones with ones and returns the sum of the products.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn multiply(rounds: u64) -> u64 {
    let (mut total, mut left) = (0, rounds);
    while left > 0 {
        let now = left.min(ROUNDS_PER_SUM);
        total += sum_of(now);
        left -= now;
    }
    total
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sum_of(rounds: u64) -> u64 {
    let ones = std::hint::black_box(_mm512_set1_epi8(1));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, ones, ones);
        }
    }
    let mut lanes = [0_i32; 16];
    let mut total = 0;
    for sum in sums {
        // SAFETY: sixteen lanes of four bytes are one register.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sum) };
        total += lanes.iter().map(|it| *it as u64).sum::<u64>();
    }
    total
}
