//! How the rows of a text become one.

/// Which rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all, markers included.
    Mean,
    /// The first alone: the marker that begins a text.
    First,
}

impl Pooling {
    /// The row that stands for `rows`, each of `hidden` elements. Sums run in double precision, in the
    /// order of the rows.
    pub(super) fn pool(self, rows: &[f32], hidden: usize) -> Vec<f32> {
        match self {
            Self::First => rows[..hidden].to_vec(),
            Self::Mean => {
                let mut sums = vec![0.0_f64; hidden];
                for row in rows.chunks_exact(hidden) {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += f64::from(*value);
                    }
                }
                let count = (rows.len() / hidden) as f64;
                sums.iter().map(|sum| (sum / count) as f32).collect()
            }
        }
    }
}
