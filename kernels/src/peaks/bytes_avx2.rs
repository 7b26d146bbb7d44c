//! Products of bytes by AVX2: `vpmaddubsw` and `vpaddw`, the inner loop of the AVX2 kernel.

use std::arch::asm;
use std::arch::x86_64::*;

/// Sums side by side: more than an addition takes cycles, with registers left for the operands.
const SUMS: usize = 12;
/// Operations of one round: a register has 32 bytes.
pub(super) const OPERATIONS: u64 = 2 * 32 * SUMS as u64;
/// Rounds until sums of ones would leave sixteen bits.
const ROUNDS_PER_SUM: u64 = 8_192;

/// Multiplies ones with ones and returns the sum of the products.
#[target_feature(enable = "avx2")]
pub(super) fn multiply(rounds: u64) -> u64 {
    let (mut total, mut left) = (0, rounds);
    while left > 0 {
        let now = left.min(ROUNDS_PER_SUM);
        total += sum_of(now);
        left -= now;
    }
    total
}

#[target_feature(enable = "avx2")]
fn sum_of(rounds: u64) -> u64 {
    let mut ones = _mm256_set1_epi8(1);
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: no instruction at all. It keeps the compiler from multiplying once for all rounds.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) ones, options(nomem, nostack, preserves_flags));
            }
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(ones, ones));
        }
    }
    let mut lanes = [0_i16; 16];
    let mut total = 0;
    for sum in sums {
        // SAFETY: sixteen lanes of two bytes are one register.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        total += lanes.iter().map(|it| *it as u64).sum::<u64>();
    }
    total
}
