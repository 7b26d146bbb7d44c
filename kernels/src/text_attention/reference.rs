//! Attention as its paper writes it, in double precision.

use std::ops::Range;

use super::Projected;

/// `softmax(scale * Q K^T) V` for each head of each text.
#[must_use]
pub fn attend(projected: Projected<'_>, texts: &[Range<usize>]) -> Vec<f64> {
    let width = projected.heads * projected.head_dim;
    let mut out = vec![0.0; projected.values.len() / 3];
    for text in texts {
        for head in 0..projected.heads {
            for row in text.clone() {
                let query = projected.head(row, 0, head);
                let score = |key: usize| {
                    let products = query.iter().zip(projected.head(key, 1, head));
                    let product: f64 = products.map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    product * f64::from(projected.scale)
                };
                let scores: Vec<f64> = text.clone().map(score).collect();
                let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|it| (it - best).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (key, weight) in text.clone().zip(&weights) {
                    let value = projected.head(key, 2, head);
                    let out = &mut out[row * width + head * projected.head_dim..];
                    for (out, &value) in out.iter_mut().zip(value) {
                        *out += weight / total * f64::from(value);
                    }
                }
            }
        }
    }
    out
}
