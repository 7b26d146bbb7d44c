//! The gate as its paper writes it, in double precision.

/// `silu(gate) * up` for rows of `hidden` gates followed by `hidden` ups.
#[must_use]
pub fn silu_gate(gate_up: &[f32], hidden: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for row in gate_up.chunks_exact(2 * hidden) {
        for (&gate, &up) in row[..hidden].iter().zip(&row[hidden..]) {
            let gate = f64::from(gate);
            out.push(gate / (1.0 + (-gate).exp()) * f64::from(up));
        }
    }
    out
}
