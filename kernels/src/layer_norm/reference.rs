//! The normalisation as its paper writes it, in double precision.

use super::LayerNorm;

/// The normalised sum of `x` and `branch`, row by row.
#[must_use]
pub fn add_layer_norm(x: &[f32], branch: &[f32], norm: LayerNorm<'_>) -> Vec<f64> {
    let dim = norm.weight.len();
    let sums: Vec<f64> = x
        .iter()
        .zip(branch)
        .map(|(&x, &branch)| f64::from(x) + f64::from(branch))
        .collect();
    let mut out = Vec::new();
    for row in sums.chunks_exact(dim) {
        let mean = row.iter().sum::<f64>() / dim as f64;
        let variance = row.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / dim as f64;
        let root = (variance + f64::from(norm.epsilon)).sqrt();
        let learned = norm.weight.iter().zip(norm.bias);
        out.extend(row.iter().zip(learned).map(|(it, (&weight, &bias))| {
            (it - mean) / root * f64::from(weight) + f64::from(bias)
        }));
    }
    out
}
