//! Fields of the APIs and of their relatives that this server cannot honour.
//!
//! Clients send many of them with the value that asks for nothing. That is let pass; anything more
//! is refused by name, because a field that is accepted and ignored is a wrong answer.

use serde_json::Value;

use super::fields::Fields;
use crate::error::HttpError;

/// A field and the values of it that ask for nothing.
pub(crate) struct Foreign {
    name: &'static str,
    asks_nothing: fn(&Value) -> bool,
}

pub(crate) const fn foreign(name: &'static str, asks_nothing: fn(&Value) -> bool) -> Foreign {
    Foreign { name, asks_nothing }
}

/// Takes all fields of `table` and refuses the first that asks for something.
pub(crate) fn refuse(fields: &mut Fields, table: &[Foreign]) -> Result<(), HttpError> {
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

pub(crate) fn never(_: &Value) -> bool {
    false
}

pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

pub(crate) fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

pub(crate) fn is_one(value: &Value) -> bool {
    value.as_i64() == Some(1)
}

pub(crate) fn is_usual(value: &Value) -> bool {
    matches!(value.as_str(), Some("auto" | "default" | "none"))
}

pub(crate) fn is_text_only(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|it| it.iter().all(|mode| mode == "text"))
}
