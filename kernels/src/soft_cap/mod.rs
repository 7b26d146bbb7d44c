//! Numbers kept softly within bounds: `cap * tanh(x / cap)`.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::tanh;
use crate::{Isa, Pool};

/// Values that a task takes together.
const VALUES_PER_TASK: usize = 4096;

/// Keeps each of `values` within `cap` of zero. Absolute error below `4e-7 * cap`.
///
/// Reads and writes each value once. Source: Bello et al. 2016, "Neural Combinatorial Optimization
/// with Reinforcement Learning", appendix A.1.
pub fn soft_cap(isa: Isa, pool: &mut Pool, cap: f32, values: &mut [f32]) {
    pool.run_parts(values, VALUES_PER_TASK, &|_, part| {
        for_each_isa!(isa, cap_values(cap: f32 = cap, values: &mut [f32] = part));
    });
}

#[inline(always)]
fn cap_values(cap: f32, values: &mut [f32]) {
    for value in values {
        *value = capped(*value, cap);
    }
}

/// `value` within `cap` of zero.
#[inline(always)]
pub(crate) fn capped(value: f32, cap: f32) -> f32 {
    tanh(value / cap) * cap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        let values: Vec<f32> = (0..9_001)
            .map(|it| (it * 37 % 2_003) as f32 / 4.0 - 250.0)
            .collect();
        let run = |isa| {
            let mut capped = values.clone();
            soft_cap(isa, &mut Pool::new(2), 30.0, &mut capped);
            capped
        };
        let portable = run(Isa::Portable);
        for (&value, &found) in values.iter().zip(&portable) {
            let exact = reference::soft_cap(value, 30.0);
            assert!((f64::from(found) - exact).abs() < 1.2e-5, "{value}");
        }
        for isa in Isa::available() {
            assert_eq!(run(isa), portable, "{isa:?}");
        }
    }
}
