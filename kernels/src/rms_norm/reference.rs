//! The normalisation as its paper writes it, in double precision.

/// Normalises each row of `x`, of the length of `weight`, by its root mean square.
#[must_use]
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f64> {
    let mut out = Vec::new();
    for row in x.chunks_exact(weight.len()) {
        let squares: f64 = row.iter().map(|&it| f64::from(it) * f64::from(it)).sum();
        let root = (squares / row.len() as f64 + f64::from(epsilon)).sqrt();
        out.extend(
            row.iter()
                .zip(weight)
                .map(|(&x, &w)| f64::from(x) / root * f64::from(w)),
        );
    }
    out
}
