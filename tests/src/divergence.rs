//! How far our distribution is from the reference's, from what the reference tells: its five most
//! likely tokens, and by subtraction all the rest as one bucket.

use crate::Position;

/// The least probability either side may give a bucket. The reference rounds to 1e-5 nats, so its
/// rest bucket can come out as nothing or below; and a model of ours that is sure of something
/// wrong should look bad by a finite number.
const PROBABILITY_MIN: f64 = 1e-9;

/// What a comparison over many positions comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Positions compared.
    pub positions: usize,
    /// Mean Kullback-Leibler divergence, in nats.
    pub mean_nats: f64,
    /// The value that 99 of 100 positions do not exceed (nearest rank).
    pub p99_nats: f64,
    /// The worst position.
    pub max_nats: f64,
}

/// The Kullback-Leibler divergence KL(reference || ours) at one position, in nats, over six
/// buckets: the reference's five likely tokens and the rest.
///
/// `our_logprobs[i]` is the natural logarithm of the probability that our model gives to
/// `reference.likely[i].token`, over the whole vocabulary. A value that is not a number counts as
/// no probability at all. Merging tokens into one bucket can only lower the divergence, so this is
/// a lower bound of that over the whole vocabulary.
/// Source: Kullback and Leibler 1951, "On Information and Sufficiency", equation 2.4.
#[must_use]
pub fn divergence(reference: &Position, our_logprobs: &[f64; 5]) -> f64 {
    let theirs = with_rest(reference.likely.map(|it| it.logprob));
    let ours = with_rest(*our_logprobs);
    theirs
        .iter()
        .zip(&ours)
        .map(|(p, q)| p * (p / q).ln())
        .sum()
}

/// As [`divergence`], from our logits over the whole vocabulary. A reference token beyond the
/// vocabulary counts as impossible.
#[must_use]
pub fn divergence_from(reference: &Position, logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|it| f64::from(it - max).exp()).sum();
    let logprob = |token: u32| {
        let logit = logits
            .get(token as usize)
            .copied()
            .unwrap_or(f32::NEG_INFINITY);
        f64::from(logit) - f64::from(max) - sum.ln()
    };
    divergence(reference, &reference.likely.map(|it| logprob(it.token)))
}

/// Sums up the divergences of all positions; `None` if there are none.
#[must_use]
pub fn summary(divergences_nats: &[f64]) -> Option<Divergence> {
    let mut sorted = divergences_nats.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * 99).div_ceil(100);
    Some(Divergence {
        positions: sorted.len(),
        mean_nats: sorted.iter().sum::<f64>() / sorted.len() as f64,
        p99_nats: *sorted.get(rank.checked_sub(1)?)?,
        max_nats: *sorted.last()?,
    })
}

/// Six probabilities that sum to one, from five log-probabilities.
fn with_rest(logprobs: [f64; 5]) -> [f64; 6] {
    let mut buckets = [0.0; 6];
    for (bucket, logprob) in buckets.iter_mut().zip(logprobs) {
        let probability = logprob.exp();
        *bucket = if probability.is_nan() {
            0.0
        } else {
            probability.min(1.0)
        };
    }
    buckets[5] = 1.0 - buckets.iter().sum::<f64>();
    let floored = buckets.map(|it| it.max(PROBABILITY_MIN));
    let total: f64 = floored.iter().sum();
    floored.map(|it| it / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LikelyToken;

    fn position(probabilities: [f64; 5]) -> Position {
        let mut token = 0;
        Position {
            likely: probabilities.map(|it| {
                token += 1;
                LikelyToken {
                    token,
                    logprob: it.ln(),
                }
            }),
        }
    }

    fn close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() < 1e-6,
            "{actual} instead of {expected}"
        );
    }

    #[test]
    fn equal_distributions_do_not_diverge() {
        let reference = position([0.5, 0.2, 0.1, 0.05, 0.05]);
        close(
            divergence(&reference, &reference.likely.map(|it| it.logprob)),
            0.0,
        );
    }

    #[test]
    fn a_hand_made_divergence_is_right() {
        // Half the mass moves from the first token to the rest: 0.8 ln 2 + 0.1 ln (0.1 / 0.5).
        let reference = position([0.8, 0.025, 0.025, 0.025, 0.025]);
        let ours = [0.4_f64, 0.025, 0.025, 0.025, 0.025].map(f64::ln);
        close(
            divergence(&reference, &ours),
            0.8 * 2.0_f64.ln() + 0.1 * 0.2_f64.ln(),
        );
    }

    #[test]
    fn a_difference_in_the_rest_alone_counts() {
        let reference = position([0.5, 0.1, 0.1, 0.1, 0.1]);
        let ours = [0.5_f64, 0.1, 0.1, 0.1, 0.01].map(f64::ln);
        assert!(divergence(&reference, &ours) > 0.05);
    }

    #[test]
    fn the_divergence_is_never_negative_and_always_finite() {
        let references = [
            [1.0, 1e-30, 1e-30, 1e-30, 1e-30],
            [0.2; 5],
            [0.9, 0.05, 0.03, 0.01, 0.02],
        ];
        let impossible = [f64::NEG_INFINITY; 5];
        for reference in references.map(position) {
            for ours in [
                impossible,
                [f64::NAN; 5],
                [0.0; 5],
                [-1.0, -2.0, -3.0, -4.0, -5.0],
            ] {
                let nats = divergence(&reference, &ours);
                assert!(nats.is_finite() && nats >= -1e-12, "{nats}");
            }
        }
    }

    #[test]
    fn logits_are_normalised_over_the_whole_vocabulary() {
        let reference = position([0.4, 0.2, 0.1, 0.1, 0.1]);
        let probabilities = [0.1_f32, 0.4, 0.2, 0.1, 0.1, 0.1];
        let logits = probabilities.map(|it| it.ln() + 7.0);
        close(divergence_from(&reference, &logits), 0.0);
        assert!(divergence_from(&reference, &logits[..3]) > 1.0);
    }

    #[test]
    fn a_summary_takes_the_nearest_rank() {
        assert_eq!(summary(&[]), None);
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let sum = summary(&values).unwrap();
        assert_eq!((sum.positions, sum.mean_nats), (200, 100.5));
        assert_eq!((sum.p99_nats, sum.max_nats), (198.0, 200.0));
        assert_eq!(summary(&[3.0]).unwrap().p99_nats, 3.0);
    }
}
