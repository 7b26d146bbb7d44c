//! How the next token is drawn from the model's distribution.

use std::sync::Arc;

use crate::{TokenCount, TokenId};

/// Everything that decides a draw besides the logits and the tokens so far.
///
/// The same `Sampling`, prompt and model give the same tokens, whatever else is in the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits. Zero takes the most likely token and ignores the truncation.
    pub temperature: f32,
    /// Which part of the distribution may be drawn from.
    pub truncation: Truncation,
    /// What repeating costs.
    pub penalties: Penalties,
    /// Added to the logits, before anything else changes them; each token stands here once.
    pub bias: Arc<[TokenBias]>,
    /// What cannot be drawn yet.
    pub withheld: Withheld,
    /// Decides the draw; each position gets a number of its own from it.
    pub seed: u64,
    /// How many alternatives to report beside the drawn token, or `None` for no report at all.
    pub logprobs: Option<u8>,
}

/// Cuts the unlikely end off a distribution. The values that cut nothing are the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    /// Keep this many of the most likely tokens; zero keeps all.
    pub top_k: u32,
    /// Keep the fewest tokens whose probabilities sum to at least this, in (0, 1].
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the most likely one, in [0, 1].
    pub min_p: f32,
    /// Of what is left, keep the fewest tokens whose probabilities sum to at least this, in (0, 1],
    /// those first whose surprise is nearest to the expected one.
    /// Source: Meister et al. 2022, "Locally Typical Sampling", section 4.
    pub typical_p: f32,
}

impl Default for Truncation {
    fn default() -> Self {
        Self {
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
        }
    }
}

/// What repeating costs. The values that cost nothing are the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalties {
    /// Divides positive and multiplies negative logits of tokens in the prompt or the answer.
    /// Source: Keskar et al. 2019, "CTRL", section 4.1.
    pub repetition: f32,
    /// Subtracted once from the logit of each token in the answer.
    pub presence: f32,
    /// Subtracted from the logit of each token in the answer as often as it occurs.
    pub frequency: f32,
}

impl Default for Penalties {
    fn default() -> Self {
        Self {
            repetition: 1.0,
            presence: 0.0,
            frequency: 0.0,
        }
    }
}

/// A number that is added to a token's logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBias {
    /// The token.
    pub token: TokenId,
    /// What is added.
    pub bias: f32,
}

/// Tokens that cannot be drawn while an answer is short. The default withholds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Withheld {
    /// The tokens; those that would end the answer.
    pub tokens: Arc<[TokenId]>,
    /// Until the answer has so many tokens.
    pub generated_min: TokenCount,
}

impl Withheld {
    /// What cannot be drawn after `generated` tokens of an answer.
    #[must_use]
    pub fn after(&self, generated: usize) -> &[TokenId] {
        if generated < self.generated_min.0 as usize {
            &self.tokens
        } else {
            &[]
        }
    }
}

impl Sampling {
    /// Always the most likely token, nothing reported.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            truncation: Truncation::default(),
            penalties: Penalties::default(),
            bias: Arc::default(),
            withheld: Withheld::default(),
            seed: 0,
            logprobs: None,
        }
    }
}
