//! Log-probabilities of the model's own distribution.

use sconce_domain::{TokenId, TokenLogprob, TokenLogprobs};

use crate::exponential::{exp, sum};
use crate::rank::{Candidate, candidates, largest, select_front};

/// The model's distribution at a position, before penalties, temperature and truncation, and
/// before it is known which token is drawn.
#[derive(Debug)]
pub(crate) struct Report {
    max: f32,
    /// Natural logarithm of the sum of exp(logit - max).
    log_sum: f64,
    top: Vec<TokenLogprob>,
}

impl Report {
    /// Reads off the `count` most likely tokens.
    ///
    /// The exponentials are of `f32`, each good to 2e-7 of itself, and all else is `f64`, so a
    /// log-probability is off by about 1e-6 nats at most, besides its rounding to `f32`. `front` is
    /// scratch.
    pub(crate) fn read(logits: &[f32], count: u8, front: &mut Vec<Candidate>) -> Self {
        let likeliest = logits.get(largest(logits) as usize).copied();
        let max = likeliest.unwrap_or(f32::NEG_INFINITY);
        let log_sum = sum(logits, |it| exp(below(*it, max))).ln();
        let mut report = Self {
            max,
            log_sum,
            top: Vec::new(),
        };
        select_front(candidates(logits), usize::from(count), front);
        front.sort_unstable_by(Candidate::rank);
        report.top = front
            .iter()
            .map(|it| TokenLogprob {
                token: TokenId(it.token),
                logprob: report.logprob(it.value),
            })
            .collect();
        report
    }

    /// The logarithm of the probability that a token of this logit has: below that of the likeliest
    /// one if the logit is, however close, so that whoever compares the two finds out.
    pub(crate) fn logprob(&self, logit: f32) -> f32 {
        if logit == self.max && logit > f32::NEG_INFINITY {
            return -self.log_sum as f32;
        }
        let logprob = f64::from(logit) - f64::from(self.max) - self.log_sum;
        if logprob.is_nan() {
            f32::NEG_INFINITY
        } else {
            (logprob as f32).min((-self.log_sum as f32).next_down())
        }
    }

    /// Completes the report with a token, of the same logits.
    pub(crate) fn of(self, token: TokenId, logits: &[f32]) -> TokenLogprobs {
        let logit = logits.get(token.0 as usize).copied();
        let logprob = self.logprob(logit.unwrap_or(f32::NEG_INFINITY));
        TokenLogprobs {
            chosen: TokenLogprob { token, logprob },
            top: self.top,
        }
    }
}

/// `logit - max`, with a difference of zero between two infinities.
pub(crate) fn below(logit: f32, max: f32) -> f32 {
    if logit == max { 0.0 } else { logit - max }
}
