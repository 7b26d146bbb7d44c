//! Fields of OpenAI's API and of its relatives that this server cannot honour.

use crate::wire::foreign::{
    Foreign, foreign, is_empty, is_false, is_one, is_text_only, is_usual, never,
};

/// Both endpoints know these.
pub(crate) const ANY_REQUEST: &[Foreign] = &[
    foreign("store", is_false),
    foreign("metadata", is_empty),
    foreign("service_tier", is_usual),
    foreign("prompt_cache_key", never),
    foreign("prompt_cache_retention", never),
    foreign("safety_identifier", never),
];

/// Only the chat endpoint knows these.
pub(crate) const CHAT: &[Foreign] = &[
    foreign("best_of", is_one),
    foreign("functions", is_empty),
    foreign("function_call", is_usual),
    foreign("modalities", is_text_only),
    foreign("audio", never),
    foreign("prediction", never),
    foreign("reasoning_effort", is_usual),
    foreign("verbosity", never),
    foreign("web_search_options", never),
    foreign("moderation", never),
];

/// Only the completion endpoint knows these.
pub(crate) const COMPLETION: &[Foreign] = &[foreign("suffix", is_empty)];

/// What a message may carry besides a role and its content.
pub(crate) const MESSAGE: &[Foreign] = &[
    foreign("name", never),
    foreign("refusal", never),
    foreign("annotations", is_empty),
    foreign("audio", never),
    foreign("function_call", never),
];
