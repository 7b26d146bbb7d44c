//! Exponentials and sums over a whole vocabulary, in forms that run in parallel lanes.
//!
//! *Why our own exponential:* the system's differs from one machine to the next, and a seed should
//! give the same text on all of them. It was also most of a draw's time.

/// e^x for x at most zero; zero below -87 and for NaN.
///
/// Relative error at most 2e-7. No operation depends on the machine: products and sums are rounded
/// one by one, as IEEE 754 says.
/// Source: Cody and Waite 1980, "Software Manual for the Elementary Functions", chapter 6 (the
/// split of ln 2); the polynomial is Taylor's, of degree 7 on [-ln 2 / 2, ln 2 / 2].
pub(crate) fn exp(x: f32) -> f32 {
    // Adding it leaves no bits below the units, and the units in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let power = rounded - ROUNDER;
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        series = series * rest + coefficient;
    }
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x >= -87.0 { series * scale } else { 0.0 }
}

/// The sum of `value` over `items`, in eight lanes: the order depends on nothing but the length.
pub(crate) fn sum<T>(items: &[T], value: impl Fn(&T) -> f32) -> f64 {
    let mut lanes = [0.0_f64; 8];
    for row in items.chunks(lanes.len()) {
        for (lane, item) in lanes.iter_mut().zip(row) {
            *lane += f64::from(value(item));
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_as_good_as_it_says() {
        let mut worst = 0.0_f64;
        for step in 0..2_000_000 {
            let x = -87.0 * step as f32 / 2_000_000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2e-7, "{worst:e}");
    }

    #[test]
    fn the_ends_of_the_exponential_are_exact() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        for x in [f32::NEG_INFINITY, f32::NAN, -88.0, f32::MIN] {
            assert_eq!(exp(x), 0.0, "{x}");
        }
    }

    #[test]
    fn a_sum_takes_each_item_once() {
        for length in 0..40_u16 {
            let items: Vec<u16> = (1..=length).collect();
            let expected = f64::from(length) * f64::from(length + 1) / 2.0;
            assert_eq!(sum(&items, |it| f32::from(*it)), expected);
        }
    }
}
