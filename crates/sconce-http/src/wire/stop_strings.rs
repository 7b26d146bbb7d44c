//! Texts that end an answer.

use serde_json::Value;

use super::fields::{Fields, wrong};
use crate::error::HttpError;

/// Stop strings that one request may have.
const STOP_STRINGS_MAX: usize = 16;
/// Bytes of one stop string: text is held back up to this length.
const STOP_STRING_BYTES_MAX: usize = 1024;

/// The texts in the field `name` that end an answer.
pub(crate) fn take_stop_strings(fields: &mut Fields, name: &str) -> Result<Vec<String>, HttpError> {
    let path = fields.path(name);
    let items = match fields.take(name) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(items)) => items,
        Some(other) => return Err(fields.wrong(name, "be a string or a list of them", &other)),
    };
    if items.len() > STOP_STRINGS_MAX {
        let count = items.len();
        let message = format!("`{path}` has {count} strings, at most {STOP_STRINGS_MAX} are taken");
        return Err(HttpError::field(path, message));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| stop_string(&format!("{path}[{index}]"), item))
        .collect()
}

fn stop_string(path: &str, item: Value) -> Result<String, HttpError> {
    match item {
        Value::String(text) if (1..=STOP_STRING_BYTES_MAX).contains(&text.len()) => Ok(text),
        Value::String(text) => {
            let bytes = text.len();
            let message =
                format!("`{path}` has {bytes} bytes, it must have 1 to {STOP_STRING_BYTES_MAX}");
            Err(HttpError::field(path, message))
        }
        other => Err(wrong(path, "be a string", &other)),
    }
}
