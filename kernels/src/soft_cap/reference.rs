//! The bound as its paper writes it, in double precision.

/// `value` within `cap` of zero.
#[must_use]
pub fn soft_cap(value: f32, cap: f32) -> f64 {
    f64::from(cap) * (f64::from(value) / f64::from(cap)).tanh()
}
