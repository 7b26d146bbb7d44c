//! Layer normalisation of rows, together with the sum that it normalises.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::{LANES, fused, load, sum};
use crate::{Isa, Pool};

/// What a norm has learned.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Multiplies each element: `[dim]`.
    pub weight: &'a [f32],
    /// Is added to each element: `[dim]`.
    pub bias: &'a [f32],
    /// Keeps a row of equal elements finite.
    pub epsilon: f32,
}

/// Adds `branch` to `x` and normalises each row of the sum where it stands.
///
/// Shapes: `x` and `branch` are `[rows, dim]`, row-major.
/// `x = (s - mean(s)) / sqrt(mean((s - mean(s))^2) + epsilon) * weight + bias`, `s = x + branch`.
/// The mean is taken first, so that the squares cancel nothing; both sums run in sixteen lanes.
/// Source: Ba, Kiros and Hinton 2016, "Layer Normalization", equation 4.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn add_layer_norm(
    isa: Isa,
    pool: &mut Pool,
    x: &mut [f32],
    branch: &[f32],
    norm: LayerNorm<'_>,
) {
    let dim = norm.weight.len();
    assert_eq!(dim, norm.bias.len(), "weight and bias differ in length");
    assert!(
        x.len().is_multiple_of(dim),
        "x is not a whole number of rows"
    );
    assert_eq!(x.len(), branch.len(), "x and branch differ in length");
    let rows = pool.part_length(x.len() / dim, 8);
    pool.run_parts(x, rows * dim, &|first, x| {
        let branch = &branch[first..][..x.len()];
        for_each_isa!(isa, norm_rows(
            x: &mut [f32] = x,
            branch: &[f32] = branch,
            norm: LayerNorm<'_> = norm,
        ));
    });
}

#[inline(always)]
fn norm_rows(x: &mut [f32], branch: &[f32], norm: LayerNorm<'_>) {
    let dim = norm.weight.len();
    for (x, branch) in x.chunks_exact_mut(dim).zip(branch.chunks_exact(dim)) {
        for (x, &branch) in x.iter_mut().zip(branch) {
            *x += branch;
        }
        let mean = lane_sum(x, |lanes, part| {
            for lane in 0..LANES {
                lanes[lane] += part[lane];
            }
        }) / dim as f32;
        for x in x.iter_mut() {
            *x -= mean;
        }
        let squares = lane_sum(x, |lanes, part| *lanes = fused(part, part, *lanes));
        let scale = (squares / dim as f32 + norm.epsilon).sqrt().recip();
        for ((x, &weight), &bias) in x.iter_mut().zip(norm.weight).zip(norm.bias) {
            *x = (*x * scale).mul_add(weight, bias);
        }
    }
}

/// The sum over `x` of what `add` makes of sixteen values at a time; missing ones are zero.
#[inline(always)]
fn lane_sum(x: &[f32], add: impl Fn(&mut [f32; LANES], [f32; LANES])) -> f32 {
    let mut lanes = [0.0; LANES];
    let mut parts = x.chunks_exact(LANES);
    for part in &mut parts {
        add(&mut lanes, load(part));
    }
    let mut last = [0.0; LANES];
    for (lane, value) in last.iter_mut().zip(parts.remainder()) {
        *lane = *value;
    }
    add(&mut lanes, last);
    sum(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dim: usize, offset: f32) {
        let value = |it: usize| ((it * 37 % 101) as f32 - 50.0) / 9.0;
        let x: Vec<f32> = (0..5 * dim).map(|it| value(it) + offset).collect();
        let branch: Vec<f32> = (0..5 * dim).map(|it| value(it + 31)).collect();
        let weight: Vec<f32> = (0..dim).map(|it| 0.5 + (it % 7) as f32 / 5.0).collect();
        let bias: Vec<f32> = (0..dim).map(|it| (it % 5) as f32 / 3.0 - 0.7).collect();
        let norm = LayerNorm {
            weight: &weight,
            bias: &bias,
            epsilon: 1e-5,
        };
        let run = |isa| {
            let mut x = x.clone();
            add_layer_norm(isa, &mut Pool::new(2), &mut x, &branch, norm);
            x
        };
        let exact = reference::add_layer_norm(&x, &branch, norm);
        let portable = run(Isa::Portable);
        for (found, exact) in portable.iter().zip(&exact) {
            let error = (f64::from(*found) - exact).abs();
            assert!(
                error < 2e-5 * (1.0 + f64::from(offset)),
                "{found} for {exact}"
            );
        }
        for isa in Isa::available() {
            assert_eq!(run(isa), portable, "{isa:?} {dim}");
        }
    }

    #[test]
    fn odd_sizes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for dim in [2, 3, 16, 31, 64, 384, 577] {
            check(dim, 0.0);
            check(dim, 100.0);
        }
    }

    #[test]
    fn a_row_of_equal_elements_becomes_the_bias() {
        let norm = LayerNorm {
            weight: &[2.0; 20],
            bias: &[0.25; 20],
            epsilon: 1e-12,
        };
        let mut x = [1.5; 20];
        add_layer_norm(Isa::detect(), &mut Pool::new(1), &mut x, &[0.5; 20], norm);
        assert_eq!(x, [0.25; 20]);
    }
}
