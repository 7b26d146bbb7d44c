//! What bends each element of a feed-forward layer that has no gate.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::exp;
use crate::{Isa, Pool};

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bend {
    /// `x * P(X <= x)` for a standard normal `X`.
    /// Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2.
    Gelu,
    /// Its approximation by a hyperbolic tangent, from the same section.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

/// Bends each of `values` where it stands. Absolute error below `1e-6 * (1 + |x|)`.
pub fn bend(isa: Isa, pool: &mut Pool, bend: Bend, values: &mut [f32]) {
    let length = pool.part_length(values.len(), 4096);
    pool.run_parts(values, length, &|_, values| match bend {
        Bend::Gelu => for_each_isa!(isa, gelu_all(values: &mut [f32] = values)),
        Bend::GeluTanh => for_each_isa!(isa, gelu_tanh_all(values: &mut [f32] = values)),
        Bend::Relu => values.iter_mut().for_each(|it| *it = it.max(0.0)),
        Bend::Tanh => for_each_isa!(isa, tanh_all(values: &mut [f32] = values)),
    });
}

#[inline(always)]
fn gelu_all(values: &mut [f32]) {
    for value in values {
        let x = *value;
        *value = 0.5 * x * (1.0 + error_function(x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

#[inline(always)]
fn gelu_tanh_all(values: &mut [f32]) {
    const TWICE_ROOT_2_OVER_PI: f32 = 1.595_769;
    for value in values {
        let x = *value;
        let cubic = (x * x * x).mul_add(0.044_715, x);
        *value = x / (1.0 + exp(-TWICE_ROOT_2_OVER_PI * cubic));
    }
}

#[inline(always)]
fn tanh_all(values: &mut [f32]) {
    for value in values {
        *value = crate::lanes::tanh(*value);
    }
}

/// The error function. Absolute error below 3e-7.
///
/// Source: Abramowitz and Stegun 1964, "Handbook of Mathematical Functions", formula 7.1.26.
#[inline(always)]
fn error_function(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / magnitude.mul_add(0.327_591_1, 1.0);
    let mut polynomial = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        polynomial = t.mul_add(polynomial, coefficient);
    }
    let value = (-(t * polynomial)).mul_add(exp(-magnitude * magnitude), 1.0);
    value.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bend_is_near_its_reference_and_bit_equal_on_every_instruction_set() {
        let values: Vec<f32> = (-20_000..=20_000).map(|it| it as f32 / 1_500.0).collect();
        let run = |isa, kind| {
            let mut values = values.clone();
            bend(isa, &mut Pool::new(2), kind, &mut values);
            values
        };
        for kind in [Bend::Gelu, Bend::GeluTanh, Bend::Relu, Bend::Tanh] {
            let portable = run(Isa::Portable, kind);
            for (x, found) in values.iter().zip(&portable) {
                let exact = reference::bend(kind, f64::from(*x));
                let error = (f64::from(*found) - exact).abs();
                assert!(
                    error < 1e-6 * (1.0 + f64::from(x.abs())),
                    "{kind:?} of {x} is {found} for {exact}"
                );
            }
            for isa in Isa::available() {
                assert_eq!(run(isa, kind), portable, "{kind:?} {isa:?}");
            }
        }
    }

    #[test]
    fn values_past_all_bounds_give_their_limits() {
        for kind in [Bend::Gelu, Bend::GeluTanh, Bend::Relu] {
            let mut values = [1e30, -1e30, 0.0];
            bend(Isa::detect(), &mut Pool::new(1), kind, &mut values);
            assert_eq!([values[0], values[2]], [1e30, 0.0], "{kind:?}");
            assert!(values[1].abs() < 1e-8, "{kind:?} of -1e30 is {}", values[1]);
        }
    }
}
