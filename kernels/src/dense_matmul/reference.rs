//! The product as a schoolbook writes it, in double precision.

/// `x` times the transpose of `weights`.
///
/// Shapes: `x` is `[rows, k]`, `weights` is `[n, k]`, the result is `[rows, n]`.
#[must_use]
pub fn matmul(x: &[f32], weights: &[f32], k: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        for weights in weights.chunks_exact(k) {
            out.push(
                x.iter()
                    .zip(weights)
                    .map(|(&x, &w)| f64::from(x) * f64::from(w))
                    .sum(),
            );
        }
    }
    out
}
