//! The product as a schoolbook writes it, in double precision.

use super::BlockFormat;
use super::GROUP;

/// The weights of a row in a GGUF block format.
///
/// # Panics
/// If the row does not hold `k` weights.
#[must_use]
pub fn dequantize_row(format: BlockFormat, row: &[u8], k: usize) -> Vec<f64> {
    let mut weights = Vec::with_capacity(k);
    for index in 0..k / GROUP {
        let group = format.group(row, index);
        for (k, &code) in group.codes.iter().enumerate() {
            let (scale, minimum) = (group.scales[k / 16], group.minima[k / 16]);
            let integer = f64::from(format.integer(code));
            weights.push(f64::from(scale.value()) * integer + f64::from(minimum.value()));
        }
    }
    weights
}

/// `x` times the weights in `bytes`, without any quantization of `x`.
///
/// Shapes: `x` is `[rows, k]`, `bytes` holds `[n, k]` weights, the result is `[rows, n]`.
#[must_use]
pub fn matmul(format: BlockFormat, bytes: &[u8], x: &[f32], k: usize) -> Vec<f64> {
    let weights: Vec<Vec<f64>> = bytes
        .chunks_exact(format.row_bytes(k))
        .map(|row| dequantize_row(format, row, k))
        .collect();
    let mut out = Vec::new();
    for x in x.chunks_exact(k) {
        for weights in &weights {
            out.push(x.iter().zip(weights).map(|(&x, &w)| f64::from(x) * w).sum());
        }
    }
    out
}
