//! Root-mean-square normalisation of rows.

pub mod reference;

use crate::Isa;
use crate::isa::for_each_isa;
use crate::lanes::{LANES, fused, load, sum};

/// Normalises each row of `x` by its root mean square into `out`.
///
/// Shapes: `x` and `out` are `[rows, dim]`, row-major; `weight` is `[dim]`.
/// `out = x / sqrt(mean(x^2) + epsilon) * weight`. Reads and writes each element once or twice:
/// bound by memory. The sum of squares runs in sixteen lanes, so its error is below `dim / 16 + 5`
/// units in the last place.
/// Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4.
///
/// # Panics
/// If `x` is not a whole number of rows or `out` differs in length.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert!(
        x.len().is_multiple_of(weight.len()),
        "x is not a whole number of rows"
    );
    assert_eq!(x.len(), out.len(), "x and out differ in length");
    for_each_isa!(isa, norm_rows(
        x: &[f32] = x,
        weight: &[f32] = weight,
        epsilon: f32 = epsilon,
        out: &mut [f32] = out,
    ));
}

/// Normalises each row of `x` where it stands, to the same bits as `rms_norm`.
///
/// # Panics
/// If `x` is not a whole number of rows.
pub fn rms_norm_in_place(isa: Isa, x: &mut [f32], weight: &[f32], epsilon: f32) {
    assert!(
        x.len().is_multiple_of(weight.len()),
        "x is not a whole number of rows"
    );
    for_each_isa!(isa, norm_rows_in_place(
        x: &mut [f32] = x,
        weight: &[f32] = weight,
        epsilon: f32 = epsilon,
    ));
}

#[inline(always)]
fn norm_rows_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) {
    for x in x.chunks_exact_mut(weight.len()) {
        let scale = inverse_root_mean_square(x, epsilon);
        for (x, &weight) in x.iter_mut().zip(weight) {
            *x = *x * scale * weight;
        }
    }
}

#[inline(always)]
fn norm_rows(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let dim = weight.len();
    for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        let scale = inverse_root_mean_square(x, epsilon);
        for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

#[inline(always)]
fn inverse_root_mean_square(x: &[f32], epsilon: f32) -> f32 {
    let mut squares = [0.0; LANES];
    let mut parts = x.chunks_exact(LANES);
    for part in &mut parts {
        let part = load(part);
        squares = fused(part, part, squares);
    }
    for (lane, &value) in parts.remainder().iter().enumerate() {
        squares[lane] = value.mul_add(value, squares[lane]);
    }
    (sum(squares) / x.len() as f32 + epsilon).sqrt().recip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for dim in [1, 3, 16, 31, 64, 577] {
            let x: Vec<f32> = (0..3 * dim)
                .map(|it| ((it * 37 % 101) as f32 - 50.0) / 9.0)
                .collect();
            let weight: Vec<f32> = (0..dim).map(|it| 0.5 + (it % 7) as f32 / 5.0).collect();
            let exact = reference::rms_norm(&x, &weight, 1e-5);
            let mut portable = vec![0.0; x.len()];
            rms_norm(Isa::Portable, &x, &weight, 1e-5, &mut portable);
            for (found, exact) in portable.iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() < 1e-5 * (1.0 + exact.abs()));
            }
            for isa in Isa::available() {
                let mut found = vec![0.0; x.len()];
                rms_norm(isa, &x, &weight, 1e-5, &mut found);
                assert_eq!(found, portable, "{isa:?} {dim}");
                let mut in_place = x.clone();
                rms_norm_in_place(isa, &mut in_place, &weight, 1e-5);
                assert_eq!(in_place, portable, "{isa:?} {dim}");
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let mut out = [1.0; 20];
        rms_norm(Isa::detect(), &[0.0; 20], &[2.0; 20], 1e-6, &mut out);
        assert_eq!(out, [0.0; 20]);
    }
}
