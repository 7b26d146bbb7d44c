//! Fields of the API and of its relatives that this server cannot honour.
//!
//! Clients send many of them with the value that asks for nothing. That is let pass; anything more
//! is refused by name, because a field that is accepted and ignored is a wrong answer.

use serde_json::Value;

use super::fields::Fields;
use crate::error::HttpError;

/// A field and the values of it that ask for nothing.
pub(super) struct Foreign {
    name: &'static str,
    asks_nothing: fn(&Value) -> bool,
}

const fn foreign(name: &'static str, asks_nothing: fn(&Value) -> bool) -> Foreign {
    Foreign { name, asks_nothing }
}

/// Both endpoints know these.
pub(super) const ANY_REQUEST: &[Foreign] = &[
    foreign("store", is_false),
    foreign("metadata", is_empty),
    foreign("service_tier", is_usual),
    foreign("prompt_cache_key", never),
    foreign("prompt_cache_retention", never),
    foreign("safety_identifier", never),
];

/// Only the chat endpoint knows these.
pub(super) const CHAT: &[Foreign] = &[
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
pub(super) const COMPLETION: &[Foreign] = &[foreign("suffix", is_empty)];

/// What a message may carry besides a role and its content.
pub(super) const MESSAGE: &[Foreign] = &[
    foreign("name", never),
    foreign("refusal", never),
    foreign("annotations", is_empty),
    foreign("audio", never),
    foreign("function_call", never),
];

/// Takes all fields of `table` and refuses the first that asks for something.
pub(super) fn refuse(fields: &mut Fields, table: &[Foreign]) -> Result<(), HttpError> {
    for Foreign { name, asks_nothing } in table {
        if let Some(value) = fields.take(name)
            && !asks_nothing(&value)
        {
            return Err(HttpError::Unsupported {
                param: fields.path(name),
                note: String::new(),
            });
        }
    }
    Ok(())
}

fn never(_: &Value) -> bool {
    false
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_one(value: &Value) -> bool {
    value.as_i64() == Some(1)
}

fn is_usual(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "default" | "none"))
}

fn is_text_only(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|it| it.iter().all(|mode| mode == "text"))
}
