//! What the machine gives at most: loops that do nothing but read memory, or nothing but multiply bytes.
//! Whoever times them knows what share of it a kernel reaches. They have no clock themselves.

#[cfg(target_arch = "x86_64")]
mod bytes_avx2;
#[cfg(target_arch = "x86_64")]
mod bytes_avx512;
mod bytes_portable;

use std::hint::black_box;

use crate::isa::for_each_isa;
use crate::{Isa, Pool};

/// Words that one task reads: 2 MB, so that taking a task costs nothing beside it.
const WORDS_PER_TASK: usize = 1 << 18;
/// Words summed side by side: four registers of the widest kind, so that no addition waits for another.
const WORDS_AT_ONCE: usize = 32;

/// Reads every word of `words` once, shared among the pool's threads in long runs, and returns their
/// wrapping sum.
#[must_use]
pub fn read_all(isa: Isa, pool: &mut Pool, words: &[u64]) -> u64 {
    let mut sums = vec![0; words.len().div_ceil(WORDS_PER_TASK)];
    pool.run_parts(&mut sums, 1, &|task, sum| {
        let first = task * WORDS_PER_TASK;
        let last = (first + WORDS_PER_TASK).min(words.len());
        sum[0] = sum_of(isa, &words[first..last]);
    });
    sums.into_iter().fold(0, u64::wrapping_add)
}

fn sum_of(isa: Isa, words: &[u64]) -> u64 {
    for_each_isa!(isa, sum_body(words: &[u64] = words) -> u64)
}

#[inline(always)]
fn sum_body(words: &[u64]) -> u64 {
    let mut lanes = [0_u64; WORDS_AT_ONCE];
    let (whole, rest) = words.as_chunks::<WORDS_AT_ONCE>();
    for chunk in whole {
        for lane in 0..WORDS_AT_ONCE {
            lanes[lane] = lanes[lane].wrapping_add(chunk[lane]);
        }
    }
    let all = lanes.iter().chain(rest);
    all.fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Multiplies bytes and adds the products up, `rounds` times on each of the pool's threads, with the
/// instructions that the kernels of `isa` use and everything in registers. Returns how many operations
/// that were: a multiplication and an addition are two.
///
/// On AVX2 the sums stay in sixteen bits, as in a kernel's inner loop; what widens them is left out.
#[must_use]
pub fn multiply_bytes(isa: Isa, pool: &mut Pool, rounds: u64) -> u64 {
    let threads = pool.threads();
    let mut done = vec![0; threads];
    pool.run_parts(&mut done, 1, &|_, done| done[0] = multiply(isa, rounds));
    done.into_iter().sum()
}

fn multiply(isa: Isa, rounds: u64) -> u64 {
    let per_round = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            // SAFETY: an `Isa` beyond `Portable` comes from detection on this processor.
            black_box(unsafe { bytes_avx2::multiply(rounds) });
            bytes_avx2::OPERATIONS
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            // SAFETY: as above.
            black_box(unsafe { bytes_avx512::multiply(rounds) });
            bytes_avx512::OPERATIONS
        }
        _ => {
            black_box(bytes_portable::multiply(rounds));
            bytes_portable::OPERATIONS
        }
    };
    rounds * per_round
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_once_on_every_instruction_set() {
        for count in [0, 1, 31, 32, 100, WORDS_PER_TASK, 2 * WORDS_PER_TASK + 7] {
            let words: Vec<u64> = (0..count as u64).map(|it| it * it + u64::MAX / 3).collect();
            let expected = words.iter().fold(0, |sum: u64, it| sum.wrapping_add(*it));
            for isa in Isa::available() {
                let mut pool = Pool::new(2);
                assert_eq!(read_all(isa, &mut pool, &words), expected, "{isa:?}");
            }
        }
    }

    #[test]
    fn each_multiplication_loop_does_the_products_that_it_counts() {
        for isa in Isa::available() {
            let rounds = 3;
            let sum = match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the instruction set is there.
                Isa::Avx2 => unsafe { bytes_avx2::multiply(rounds) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Isa::Avx512 => unsafe { bytes_avx512::multiply(rounds) },
                _ => bytes_portable::multiply(rounds),
            };
            // Each product is one, so their sum counts them.
            let counted = multiply_bytes(isa, &mut Pool::new(1), rounds);
            assert_eq!(2 * sum, counted, "{isa:?}");
            assert_eq!(multiply_bytes(isa, &mut Pool::new(2), rounds), 2 * counted);
        }
    }
}
