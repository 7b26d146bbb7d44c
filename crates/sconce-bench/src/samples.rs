//! What was seen several times, and what is typical of it.

use serde_json::{Value, json};

/// Values in ascending order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    /// The samples of `values`; what is no number is left out.
    #[must_use]
    pub fn new(mut values: Vec<f64>) -> Self {
        values.retain(|it| it.is_finite());
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The value below which `share` of the samples lie, between 0 and 1; neighbours are interpolated.
    /// Source: Hyndman and Fan 1996, "Sample Quantiles in Statistical Packages", definition 7.
    #[must_use]
    pub fn at(&self, share: f64) -> Option<f64> {
        let last = self.sorted.len().checked_sub(1)?;
        let place = share.clamp(0.0, 1.0) * last as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        let (low, high) = (self.sorted[below], self.sorted[above]);
        Some(low + (high - low) * place.fract())
    }

    /// Half of the samples lie below it.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.at(0.5)
    }

    /// The smallest.
    #[must_use]
    pub fn low(&self) -> Option<f64> {
        self.sorted.first().copied()
    }

    /// The largest.
    #[must_use]
    pub fn high(&self) -> Option<f64> {
        self.sorted.last().copied()
    }

    /// Their arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.sorted.iter().sum();
        (!self.sorted.is_empty()).then(|| sum / self.sorted.len() as f64)
    }

    /// Median and extremes, and every sample: for a handful of repetitions.
    #[must_use]
    pub fn spread_json(&self) -> Value {
        json!({
            "median": self.median(), "low": self.low(), "high": self.high(), "samples": self.sorted,
        })
    }

    /// Percentiles: for the many answers of a load.
    #[must_use]
    pub fn percentiles_json(&self) -> Value {
        json!({
            "count": self.count(), "mean": self.mean(), "low": self.low(), "p50": self.at(0.5),
            "p90": self.at(0.9), "p95": self.at(0.95), "p99": self.at(0.99), "high": self.high(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_that_numpy_gives() {
        let samples = Samples::new(vec![20.0, 15.0, 50.0, 35.0, 40.0]);
        let expected = [
            (0.0, 15.0),
            (0.05, 16.0),
            (0.3, 23.0),
            (0.4, 29.0),
            (0.5, 35.0),
            (0.95, 48.0),
            (1.0, 50.0),
        ];
        for (share, value) in expected {
            let found = samples.at(share).unwrap();
            assert!(
                (found - value).abs() < 1e-9,
                "{share}: {found}, not {value}"
            );
        }
        let hundred = Samples::new((1..=100).map(f64::from).collect());
        assert!((hundred.at(0.99).unwrap() - 99.01).abs() < 1e-9);
        assert_eq!((hundred.mean(), hundred.median()), (Some(50.5), Some(50.5)));
    }

    #[test]
    fn few_samples_or_none_have_what_can_be_said_of_them() {
        let none = Samples::new(vec![f64::NAN]);
        assert_eq!((none.count(), none.median(), none.mean()), (0, None, None));
        assert!(none.percentiles_json()["p99"].is_null());
        let one = Samples::new(vec![3.0]);
        assert_eq!([one.at(0.0), one.at(0.99), one.high()], [Some(3.0); 3]);
        assert_eq!(one.spread_json()["samples"], json!([3.0]));
    }
}
