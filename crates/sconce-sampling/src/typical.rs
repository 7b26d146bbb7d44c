//! Locally typical sampling: keeps the tokens whose surprise is about the expected one.

use std::cmp::Ordering;

use crate::exponential::sum;
use crate::logprobs::below;
use crate::rank::Candidate;

/// A token that may be drawn, and how far its surprise is from the expected one, in nats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Typical {
    distance: f32,
    pub(crate) weighted: Candidate,
}

impl Typical {
    /// `Less` if `self` is kept before `other`: the nearer, then the more likely, then the lower id.
    pub(crate) fn rank(&self, other: &Self) -> Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then_with(|| self.weighted.rank(&other.weighted))
    }
}

/// Surprises beside their mean, for tokens with weights.
///
/// With s the logit divided by the temperature and Z the sum of exp(s), a token of probability p
/// has the surprise -ln p = ln Z - s, and the expected surprise, the entropy, is ln Z less the mean
/// of s. So the distance between the two is that of s from its mean: it takes no logarithm, which
/// would be slow and differ between machines.
/// Source: Meister et al. 2022, "Locally Typical Sampling", equation 10.
#[derive(Debug)]
pub(crate) struct Surprise<'a> {
    logits: &'a [f32],
    max: f32,
    temperature: f32,
    mean: f64,
}

impl<'a> Surprise<'a> {
    /// Of `weighted`, whose weights are those of `logits` and above zero; their sum is `total`.
    pub(crate) fn new(
        logits: &'a [f32],
        temperature: f32,
        weighted: &[Candidate],
        total: f64,
    ) -> Self {
        let max = weighted
            .iter()
            .map(|it| logits[it.token as usize])
            .fold(f32::NEG_INFINITY, f32::max);
        let mut surprise = Self {
            logits,
            max,
            temperature,
            mean: 0.0,
        };
        surprise.mean = sum(weighted, |it| it.value * surprise.scaled(it)) / total;
        surprise
    }

    pub(crate) fn of(&self, weighted: Candidate) -> Typical {
        Typical {
            distance: (f64::from(self.scaled(&weighted)) - self.mean).abs() as f32,
            weighted,
        }
    }

    /// The logit of a token, less the largest one and divided by the temperature.
    fn scaled(&self, candidate: &Candidate) -> f32 {
        below(self.logits[candidate.token as usize], self.max) / self.temperature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_the_surprise_from_the_entropy() {
        let (logits, temperature) = ([0.5_f32, 3.0, -2.0, 1.0], 0.7_f32);
        let scaled = logits.map(|it| f64::from(it) / f64::from(temperature));
        let total: f64 = scaled.iter().map(|it| it.exp()).sum();
        let surprises = scaled.map(|it| total.ln() - it);
        let entropy: f64 = surprises.iter().map(|it| it * (-it).exp()).sum();
        let candidate = |token: u32| Candidate {
            value: ((logits[token as usize] - 3.0) / temperature).exp(),
            token,
        };
        let weighted: Vec<Candidate> = (0..4).map(candidate).collect();
        let mass = sum(&weighted, |it| it.value);
        let surprise = Surprise::new(&logits, temperature, &weighted, mass);
        for (candidate, exact) in weighted.iter().zip(surprises) {
            let distance = f64::from(surprise.of(*candidate).distance);
            assert!((distance - (exact - entropy).abs()).abs() < 1e-5);
        }
    }
}
