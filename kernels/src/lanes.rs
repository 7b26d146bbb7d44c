//! Arithmetic on sixteen virtual lanes, written so that every instruction set gives the same bits.

/// Lanes of the virtual register: one AVX-512 register, two AVX2 registers.
pub(crate) const LANES: usize = 16;

/// A virtual register.
pub(crate) type Lanes = [f32; LANES];

/// `a * b + c` in each lane, rounded once.
#[inline(always)]
pub(crate) fn fused(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    let mut sum = c;
    for lane in 0..LANES {
        sum[lane] = a[lane].mul_add(b[lane], c[lane]);
    }
    sum
}

/// The sum of all lanes: halves are added to halves, so the order is that of a tree.
#[inline(always)]
pub(crate) fn sum(mut lanes: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest lane. NaN lanes are passed over.
#[inline(always)]
pub(crate) fn largest(mut lanes: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let (left, right) = (lanes[lane], lanes[lane + width]);
            lanes[lane] = if left > right { left } else { right };
        }
        width /= 2;
    }
    lanes[0]
}

/// The first sixteen values of `values`.
#[inline(always)]
pub(crate) fn load(values: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[..LANES]);
    lanes
}

/// Below this, `exp` is zero: the smallest argument whose result is a normal number.
const EXP_ARGUMENT_MIN: f32 = -87.0;
const EXP_ARGUMENT_MAX: f32 = 88.0;
const EXP2_ARGUMENT_MIN: f32 = -126.0;
/// Adding it to a small float leaves the nearest integer in the low bits of the mantissa.
const ROUNDING: f32 = 12_582_912.0;

/// `e` to the power of `x`; zero below -87, at most `e^88`. Relative error below 3e-7.
///
/// Source: range reduction by Cody and Waite 1980, "Software Manual for the Elementary Functions",
/// chapter 6, then the Taylor polynomial of degree 7 on half of ln 2 either way.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > EXP_ARGUMENT_MAX {
        EXP_ARGUMENT_MAX
    } else {
        x
    };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let power = shifted - ROUNDING;
    let rest = (-power).mul_add(LN_2_LOW, (-power).mul_add(LN_2_HIGH, clamped));
    let mut polynomial = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        polynomial = rest.mul_add(polynomial, coefficient);
    }
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUNDING.to_bits())
        .wrapping_add(127)
        << 23;
    if x > EXP_ARGUMENT_MIN {
        polynomial * f32::from_bits(exponent)
    } else {
        0.0
    }
}

/// Two to the power of a number that is not above zero; zero below -126. Relative error below 2e-7.
///
/// Fewer operations than [`exp`]: the fraction is exact, so nothing is left over from taking the
/// integer off. Source: the Taylor polynomial of degree 7 on half of one either way.
#[inline(always)]
pub(crate) fn exp2_of_negative(x: f32) -> f32 {
    const LN_2: f64 = std::f64::consts::LN_2;
    /// `ln(2)^n / n!`, the highest power first.
    const COEFFICIENTS: [f32; 8] = {
        let mut coefficients = [1.0; 8];
        let (mut power, mut term) = (1, 1.0);
        while power < 8 {
            term *= LN_2 / power as f64;
            coefficients[7 - power] = term as f32;
            power += 1;
        }
        coefficients
    };
    let shifted = x + ROUNDING;
    let rest = x - (shifted - ROUNDING);
    let mut polynomial = COEFFICIENTS[0];
    for coefficient in &COEFFICIENTS[1..] {
        polynomial = rest.mul_add(polynomial, *coefficient);
    }
    let power = polynomial.to_bits().wrapping_add(shifted.to_bits() << 23);
    if x > EXP2_ARGUMENT_MIN {
        f32::from_bits(power)
    } else {
        0.0
    }
}

/// The nearest integer, ties to even, of a number between -2^22 and 2^22.
#[inline(always)]
pub(crate) fn round_to_integer(x: f32) -> i32 {
    (x + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()) as i32
}

/// The hyperbolic tangent. Absolute error below 3e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// A half-precision number, given by its bits, as `f32`. Exact for every finite number.
///
/// Shifting the bits into place leaves the exponent short by 112; multiplying by 2^112 mends that
/// and normalises subnormal numbers on the way.
#[inline(always)]
pub(crate) fn half_to_single(bits: u16) -> f32 {
    const TWO_TO_112: f32 = 5_192_296_858_534_827_628_530_496_329_220_096.0;
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * TWO_TO_112;
    f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16))
}

/// The nearest half-precision number's bits, ties to even; what it cannot hold, not-a-number
/// included, becomes the largest finite one.
///
/// Without a branch, so that loops of it use vector registers. A normal result is rounded by adding
/// half of its last place (less a bit, if that place is even) before the shift; a subnormal one by
/// adding a half, whose last place is just that of a subnormal number.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp would let a not-a-number pass")]
pub(crate) fn single_to_half(value: f32) -> u16 {
    const LARGEST: f32 = 65_504.0;
    const SMALLEST_NORMAL: u32 = 113 << 23;
    let bits = value.min(LARGEST).max(-LARGEST).to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = magnitude
        .wrapping_add(0xfff + (magnitude >> 13 & 1))
        .wrapping_sub(112 << 23)
        >> 13;
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5_f32.to_bits());
    let rounded = if magnitude < SMALLEST_NORMAL {
        subnormal
    } else {
        normal
    };
    (rounded | (bits >> 16 & 0x8000)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_bound_of_the_standard_library() {
        for step in 0..200_000 {
            let x = -87.0 + step as f32 * (175.0 / 200_000.0);
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(
                x <= EXP_ARGUMENT_MIN || error < 3e-7,
                "exp({x}) is off by {error}"
            );
        }
    }

    #[test]
    fn powers_of_two_are_within_their_bound_of_the_standard_library() {
        for step in 0..200_000 {
            let x = step as f32 * (-126.0 / 200_000.0);
            let exact = f64::from(x).exp2();
            let error = (f64::from(exp2_of_negative(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "two to {x} is off by {error}");
        }
        for none in [-126.5, -1e30, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(exp2_of_negative(none), 0.0);
        }
        assert_eq!(exp2_of_negative(0.0), 1.0);
    }

    #[test]
    fn tanh_is_within_its_bound_of_the_standard_library() {
        for step in -200_000..=200_000 {
            let x = step as f32 / 5_000.0;
            let error = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
            assert!(error < 3e-7, "tanh({x}) is off by {error}");
        }
    }

    #[test]
    fn exp_of_hostile_values_is_finite_or_zero() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NAN), 0.0);
        assert!(exp(f32::INFINITY).is_finite());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn integers_are_the_nearest_ones_and_ties_go_to_even() {
        for eighths in -8_000..=8_000 {
            let x = eighths as f32 / 8.0;
            assert_eq!(round_to_integer(x) as f32, x.round_ties_even(), "{x}");
        }
    }

    #[test]
    fn every_finite_half_survives_the_way_to_single_and_back() {
        for bits in 0..=u16::MAX {
            let exact = half::f16::from_bits(bits).to_f32();
            if exact.is_finite() {
                assert_eq!(half_to_single(bits).to_bits(), exact.to_bits(), "{bits:#x}");
                assert_eq!(single_to_half(exact), bits);
            }
        }
    }

    #[test]
    fn rounding_to_half_agrees_with_the_half_crate() {
        for step in 0..2_000_003_u64 {
            let value = f32::from_bits((step * 2_147 + step % 3) as u32);
            for value in [value, -value] {
                let exact = half::f16::from_f32(value.clamp(-65_504.0, 65_504.0));
                let wanted = if value.is_nan() {
                    0x7bff
                } else {
                    exact.to_bits()
                };
                assert_eq!(single_to_half(value), wanted, "{value:e}");
            }
        }
        assert_eq!(single_to_half(f32::NAN), 0x7bff);
        assert_eq!(single_to_half(f32::NEG_INFINITY), 0xfbff);
    }

    #[test]
    fn sum_and_largest_agree_with_a_plain_fold() {
        let lanes: Lanes = std::array::from_fn(|lane| (lane as f32 - 7.0) * 0.5);
        assert_eq!(sum(lanes), lanes.iter().sum::<f32>());
        assert_eq!(largest(lanes), 4.0);
    }
}
