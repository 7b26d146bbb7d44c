//! Products of bytes in plain Rust, as the portable kernel has them: the compiler chooses what the target
//! guarantees.

use std::hint::black_box;

/// Sums side by side, as many as a tile has columns.
const SUMS: usize = 16;
/// Products that are added to each in one round.
const PRODUCTS: usize = 16;
/// Operations of one round.
pub(super) const OPERATIONS: u64 = (2 * SUMS * PRODUCTS) as u64;

/// Multiplies ones with ones and returns the sum of the products.
pub(super) fn multiply(rounds: u64) -> u64 {
    let mut total = 0;
    let ones = [[1_i8; PRODUCTS]; SUMS];
    for _ in 0..rounds {
        let (left, right) = (black_box(&ones), black_box(&ones));
        let mut sums = [0_i32; SUMS];
        for lane in 0..SUMS {
            for index in 0..PRODUCTS {
                sums[lane] += i32::from(left[lane][index]) * i32::from(right[lane][index]);
            }
        }
        total += sums.iter().map(|it| *it as u64).sum::<u64>();
    }
    total
}
