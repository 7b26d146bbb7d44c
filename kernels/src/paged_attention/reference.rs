//! Attention as its paper writes it, for one query, in double precision.
//!
//! Source: Vaswani et al. 2017, "Attention Is All You Need", equation 1.

/// The weighted values for one query. `bend` is what becomes of each product of query and key.
///
/// Shapes: `query` is `[head_dim]`; `keys` and `values` hold one `[head_dim]` for each position.
#[must_use]
pub fn attend(
    query: &[f32],
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
    bend: &dyn Fn(f64) -> f64,
) -> Vec<f64> {
    attend_beside_sink(query, keys, values, bend, f64::NEG_INFINITY)
}

/// The same beside a score that has no value.
#[must_use]
pub fn attend_beside_sink(
    query: &[f32],
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
    bend: &dyn Fn(f64) -> f64,
    sink: f64,
) -> Vec<f64> {
    let product = |key: &Vec<f32>| -> f64 {
        query
            .iter()
            .zip(key)
            .map(|(&q, &k)| f64::from(q) * f64::from(k))
            .sum()
    };
    let scores: Vec<f64> = keys.iter().map(|key| bend(product(key))).collect();
    let largest = scores.iter().copied().fold(sink, f64::max);
    let weights: Vec<f64> = scores.iter().map(|it| (it - largest).exp()).collect();
    let total = weights.iter().sum::<f64>() + (sink - largest).exp();
    (0..query.len())
        .map(|dim| {
            let weighted = weights
                .iter()
                .zip(values)
                .map(|(w, value)| w * f64::from(value[dim]));
            weighted.sum::<f64>() / total
        })
        .collect()
}
