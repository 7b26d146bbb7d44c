//! Calls, as a model wrote them in JSON.

use serde_json::Value;

use super::format::ARGUMENTS_KEYS;
use super::json_text::members;

/// A function that a model wants called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenCall {
    pub(super) name: String,
    /// As the model wrote them.
    pub(super) arguments: String,
}

/// The calls that `text` is: an object, or a list of them. `None` if any of it is something else.
pub(super) fn calls(text: &str) -> Option<Vec<WrittenCall>> {
    let value: Value = serde_json::from_str(text).ok()?;
    match value {
        Value::Object(_) => call(text).map(|it| vec![it]),
        Value::Array(_) => members(text).into_iter().map(|(_, it)| call(it)).collect(),
        _ => None,
    }
}

/// The call that `text` is, if it is one.
pub(super) fn call(text: &str) -> Option<WrittenCall> {
    if !serde_json::from_str::<Value>(text).ok()?.is_object() {
        return None;
    }
    let (mut name, mut arguments) = (None, None);
    for (key, written) in members(text) {
        let key: String = serde_json::from_str(key?).ok()?;
        if key == "name" {
            name = Some(serde_json::from_str::<String>(written).ok()?);
        } else if ARGUMENTS_KEYS.contains(&key.as_str()) {
            arguments = Some(arguments_of(written)?);
        }
    }
    Some(WrittenCall {
        name: name.filter(|it| !it.is_empty())?,
        arguments: arguments.unwrap_or_else(|| "{}".to_owned()),
    })
}

/// Some models write the object as a string that holds it.
fn arguments_of(written: &str) -> Option<String> {
    match written.as_bytes().first()? {
        b'{' => Some(written.to_owned()),
        b'n' => Some("{}".to_owned()),
        b'"' => {
            let inner: String = serde_json::from_str(written).ok()?;
            let value: Value = serde_json::from_str(&inner).ok()?;
            value.is_object().then_some(inner)
        }
        _ => None,
    }
}
