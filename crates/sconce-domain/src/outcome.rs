//! What comes back: drawn tokens, why an answer ended, what it used.

use crate::{TokenCount, TokenId};

/// A token drawn for a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: TokenId,
    /// Its log-probability and its rivals', if they were asked for.
    pub logprobs: Option<TokenLogprobs>,
}

/// A token and the natural logarithm of its probability, before temperature and truncation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenId,
    /// Natural logarithm of its probability in the model's own distribution.
    pub logprob: f32,
}

/// The log-probability of a token that was drawn, or that stands in a prompt, and the most likely
/// tokens at its position.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// The token.
    pub chosen: TokenLogprob,
    /// The most likely tokens, the likeliest first; `chosen` is among them only by merit.
    pub top: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model said so, a stop string was reached, or a constrained answer is complete.
    Stop,
    /// The token limit or the context's end was reached.
    Length,
    /// The text so far is not a whole answer.
    Failed(Failure),
}

/// Why an answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The device, or the thread that runs it, failed.
    Device,
    /// What holds the answer to its form failed.
    Form,
    /// The time that its request had was over.
    Deadline,
    /// What is to be kept of the request cannot be written.
    Record,
}

impl Failure {
    /// One word for records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device_failed",
            Self::Form => "grammar_failed",
            Self::Deadline => "timeout",
            Self::Record => "record_unavailable",
        }
    }
}

/// Tokens a request was charged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: TokenCount,
    /// Tokens of the prompt that were found in the cache.
    pub cached: TokenCount,
    /// Tokens generated, over all answers.
    pub completion: TokenCount,
}
