//! What a request used, and words that every answer shares.

use sconce_domain::{FinishReason, Usage};
use serde::Serialize;

use super::chunks::Ending;

/// Names the build, so that a client can see when answers may change.
pub(super) const FINGERPRINT: &str = concat!("sconce-", env!("CARGO_PKG_VERSION"));

/// OpenAI's usage object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct UsageObject {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

impl From<Usage> for UsageObject {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt.0,
            completion_tokens: usage.completion.0,
            total_tokens: usage.prompt.0.saturating_add(usage.completion.0),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cached.0,
            },
        }
    }
}

/// OpenAI's word for why an answer ended. A failed answer has none: it is told as an error.
pub(super) fn finish_word(ending: Ending) -> Option<&'static str> {
    match ending.reason {
        FinishReason::Stop if ending.has_calls => Some("tool_calls"),
        FinishReason::Stop => Some("stop"),
        FinishReason::Length => Some("length"),
        FinishReason::Failed(_) => None,
    }
}

/// A logarithm of zero is no JSON number; the clients know this one as "impossible".
pub(super) fn finite(logprob: f32) -> f32 {
    const IMPOSSIBLE: f32 = -9999.0;
    if logprob.is_finite() {
        logprob
    } else {
        IMPOSSIBLE
    }
}
