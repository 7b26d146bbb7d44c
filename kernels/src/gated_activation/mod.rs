//! The gate of a feed-forward block: `silu(gate) * up`, `gelu(gate) * up`, or the first within bounds.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::exp;
use crate::{Isa, Pool};

/// Combines gate and up projections that stand side by side.
///
/// Shapes: `gate_up` is `[rows, 2 * hidden]`, each row `hidden` gates and then `hidden` ups; `out`
/// is `[rows, hidden]`. `out = gate / (1 + e^-gate) * up`, relative error below 1e-6.
/// Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 5 (SwiGLU).
///
/// # Panics
/// If the shapes do not fit each other.
pub fn silu_gate(isa: Isa, pool: &mut Pool, gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    for_parts(pool, gate_up, hidden, out, &|gate_up, out| {
        for_each_isa!(isa, silu_rows(
            gate_up: &[f32] = gate_up,
            hidden: usize = hidden,
            out: &mut [f32] = out,
        ));
    });
}

/// Combines gate and up projections as `silu_gate` does, but bends the gate by the Gaussian error
/// linear unit's approximation: `gate / (1 + e^(-2u)) * up`, `u = sqrt(2 / pi) * (gate + 0.044715 gate^3)`.
///
/// Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2; Shazeer 2020, "GLU
/// Variants Improve Transformer", equation 5 (GEGLU).
///
/// # Panics
/// If the shapes do not fit each other.
pub fn gelu_gate(isa: Isa, pool: &mut Pool, gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    for_parts(pool, gate_up, hidden, out, &|gate_up, out| {
        for_each_isa!(isa, gelu_rows(
            gate_up: &[f32] = gate_up,
            hidden: usize = hidden,
            out: &mut [f32] = out,
        ));
    });
}

/// The largest gate, and the largest up of either sign, of `clamped_gate`.
const CLAMP: f32 = 7.0;
/// How much steeper than `silu_gate`'s is the logistic function of `clamped_gate`.
const CLAMPED_SLOPE: f32 = 1.702;

/// Combines gate and up projections as `silu_gate` does, but with the gate at most 7, the up within 7
/// of zero, and one added to it: `gate / (1 + e^(-1.702 gate)) * (up + 1)`.
///
/// Source: OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2.2.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn clamped_gate(isa: Isa, pool: &mut Pool, gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    for_parts(pool, gate_up, hidden, out, &|gate_up, out| {
        for_each_isa!(isa, clamped_rows(
            gate_up: &[f32] = gate_up,
            hidden: usize = hidden,
            out: &mut [f32] = out,
        ));
    });
}

/// Shares rows among the threads: each task has its rows of the input and of the output.
fn for_parts(
    pool: &mut Pool,
    gate_up: &[f32],
    hidden: usize,
    out: &mut [f32],
    combine: &(dyn Fn(&[f32], &mut [f32]) + Sync),
) {
    assert_eq!(
        gate_up.len(),
        2 * out.len(),
        "gates and ups are not twice the output"
    );
    assert!(
        out.len().is_multiple_of(hidden),
        "the output is not rows of hidden"
    );
    let rows = pool.part_length(out.len() / hidden, 2);
    pool.run_parts(out, rows * hidden, &|first, out| {
        combine(&gate_up[2 * first..][..2 * out.len()], out);
    });
}

#[inline(always)]
fn silu_rows(gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    for (gate_up, out) in gate_up
        .chunks_exact(2 * hidden)
        .zip(out.chunks_exact_mut(hidden))
    {
        let (gates, ups) = gate_up.split_at(hidden);
        for ((out, &gate), &up) in out.iter_mut().zip(gates).zip(ups) {
            *out = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

#[inline(always)]
fn gelu_rows(gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    const TWICE_ROOT_2_OVER_PI: f32 = 1.595_769;
    for (gate_up, out) in gate_up
        .chunks_exact(2 * hidden)
        .zip(out.chunks_exact_mut(hidden))
    {
        let (gates, ups) = gate_up.split_at(hidden);
        for ((out, &gate), &up) in out.iter_mut().zip(gates).zip(ups) {
            let cubic = (gate * gate * gate).mul_add(0.044_715, gate);
            *out = gate / (1.0 + exp(-TWICE_ROOT_2_OVER_PI * cubic)) * up;
        }
    }
}

#[inline(always)]
fn clamped_rows(gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    for (gate_up, out) in gate_up
        .chunks_exact(2 * hidden)
        .zip(out.chunks_exact_mut(hidden))
    {
        let (gates, ups) = gate_up.split_at(hidden);
        for ((out, &gate), &up) in out.iter_mut().zip(gates).zip(ups) {
            let gate = if gate > CLAMP { CLAMP } else { gate };
            let up = up.clamp(-CLAMP, CLAMP) + 1.0;
            *out = gate / (1.0 + exp(-CLAMPED_SLOPE * gate)) * up;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Gate = fn(Isa, &mut Pool, &[f32], usize, &mut [f32]);
    /// A gate, its reference, and the absolute error it may have beside the relative one.
    type Kind = (Gate, fn(f64, f64) -> f64, f64);

    const KINDS: [Kind; 3] = [
        (silu_gate, |gate, up| reference::silu(gate) * up, 1e-12),
        (gelu_gate, |gate, up| reference::gelu(gate) * up, 1e-5),
        (clamped_gate, reference::clamped, 1e-5),
    ];

    #[test]
    fn odd_sizes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for (rows, hidden) in [(1, 1), (3, 5), (2, 16), (7, 33)] {
            let gate_up: Vec<f32> = (0..rows * hidden * 2)
                .map(|it| (it * 37 % 211) as f32 / 4.0 - 26.0)
                .collect();
            let run = |isa, kind: Kind| {
                let mut out = vec![0.0; rows * hidden];
                kind.0(isa, &mut Pool::new(2), &gate_up, hidden, &mut out);
                out
            };
            for kind in KINDS {
                let exact = reference::gate(&gate_up, hidden, kind.1);
                let portable = run(Isa::Portable, kind);
                for (found, exact) in portable.iter().zip(&exact) {
                    let error = (f64::from(*found) - exact).abs();
                    assert!(error <= 1e-6 * exact.abs() + kind.2, "{found} for {exact}");
                }
                for isa in Isa::available() {
                    assert_eq!(run(isa, kind), portable, "{isa:?}");
                }
            }
        }
    }
}
