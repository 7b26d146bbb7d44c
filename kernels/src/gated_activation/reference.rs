//! The gates as their papers write them, in double precision.

/// `combine(gate, up)` for rows of `hidden` gates followed by `hidden` ups.
#[must_use]
pub fn gate(gate_up: &[f32], hidden: usize, combine: fn(f64, f64) -> f64) -> Vec<f64> {
    let mut out = Vec::new();
    for row in gate_up.chunks_exact(2 * hidden) {
        for (&gate, &up) in row[..hidden].iter().zip(&row[hidden..]) {
            out.push(combine(f64::from(gate), f64::from(up)));
        }
    }
    out
}

/// `x * sigmoid(x)`.
#[must_use]
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The Gaussian error linear unit, approximated by a hyperbolic tangent.
#[must_use]
pub fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// The gate within bounds, times an up within bounds and one.
#[must_use]
pub fn clamped(gate: f64, up: f64) -> f64 {
    let gate = gate.min(7.0);
    gate / (1.0 + (-1.702 * gate).exp()) * (up.clamp(-7.0, 7.0) + 1.0)
}
