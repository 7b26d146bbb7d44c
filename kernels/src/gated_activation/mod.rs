//! The gate of a feed-forward block: `silu(gate) * up`.

pub mod reference;

use crate::isa::for_each_isa;
use crate::lanes::exp;
use crate::{DisjointSlice, Isa, Pool};

/// Combines gate and up projections that stand side by side.
///
/// Shapes: `gate_up` is `[rows, 2 * hidden]`, each row `hidden` gates and then `hidden` ups; `out`
/// is `[rows, hidden]`. `out = gate / (1 + e^-gate) * up`, relative error below 1e-6.
/// Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 5 (SwiGLU).
///
/// # Panics
/// If the shapes do not fit each other.
pub fn silu_gate(isa: Isa, pool: &mut Pool, gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    assert_eq!(
        gate_up.len(),
        2 * out.len(),
        "gates and ups are not twice the output"
    );
    assert!(
        out.len().is_multiple_of(hidden),
        "the output is not rows of hidden"
    );
    let out = DisjointSlice::new(out);
    let rows = gate_up.len() / (2 * hidden);
    let rows_per_task = rows.div_ceil(pool.threads()).max(2);
    pool.run(rows.div_ceil(rows_per_task), &|task| {
        let first = task * rows_per_task;
        let count = rows_per_task.min(rows - first);
        // SAFETY: tasks have different rows.
        let out = unsafe { out.part(first * hidden, count * hidden) };
        for_each_isa!(isa, silu_rows(
            gate_up: &[f32] = &gate_up[2 * first * hidden..][..2 * count * hidden],
            hidden: usize = hidden,
            out: &mut [f32] = out,
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_are_near_the_reference_and_bit_equal_on_every_instruction_set() {
        for (rows, hidden) in [(1, 1), (3, 5), (2, 16), (7, 33)] {
            let gate_up: Vec<f32> = (0..rows * hidden * 2)
                .map(|it| (it * 37 % 211) as f32 / 4.0 - 26.0)
                .collect();
            let exact = reference::silu_gate(&gate_up, hidden);
            let run = |isa| {
                let mut out = vec![0.0; rows * hidden];
                silu_gate(isa, &mut Pool::new(2), &gate_up, hidden, &mut out);
                out
            };
            let portable = run(Isa::Portable);
            for (found, exact) in portable.iter().zip(&exact) {
                assert!((f64::from(*found) - exact).abs() <= 1e-6 * exact.abs() + 1e-12);
            }
            for isa in Isa::available() {
                assert_eq!(run(isa), portable, "{isa:?}");
            }
        }
    }
}
