//! A JSON object whose fields are taken one by one; what is left over is unknown.

use std::fmt::Display;
use std::ops::RangeInclusive;

use sconce_domain::TokenId;
use serde_json::{Map, Value};

use super::strict_json::shown;
use crate::error::HttpError;

/// An object and where it stands in the request.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// `path` is empty for the body itself.
    pub(crate) fn of(path: impl Into<String>, value: Value) -> Result<Self, HttpError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            other => {
                let place = if path.is_empty() { "the body" } else { &path };
                let message = format!("{place} must be an object, not {}", kind(&other));
                Err(HttpError::field(path, message))
            }
        }
    }

    /// A field's name as messages show it.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A field's value. `null` counts as not given: clients send it for what they do not set.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|it| !it.is_null())
    }

    /// The items of `messages`, of which there must be one.
    pub(crate) fn messages(&mut self) -> Result<Vec<Value>, HttpError> {
        let items = match self.take("messages") {
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.wrong("messages", "be a list", &other)),
            None => Vec::new(),
        };
        if items.is_empty() {
            let message = "`messages` must hold at least one message";
            return Err(HttpError::field("messages", message));
        }
        Ok(items)
    }

    /// An error about the field `name`.
    pub(crate) fn wrong(&self, name: &str, must: impl Display, is: &Value) -> HttpError {
        wrong(&self.path(name), must, is)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, HttpError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "be a string", &other)),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, HttpError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(name, "be true or false", &other)),
        }
    }

    pub(crate) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f32>,
    ) -> Result<Option<f32>, HttpError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if range.contains(&(number as f32)) => Ok(Some(number as f32)),
            _ => {
                let must = format!("be a number from {} to {}", range.start(), range.end());
                Err(self.wrong(name, must, &value))
            }
        }
    }

    pub(crate) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, HttpError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_i64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let must = format!(
                    "be a whole number from {} to {}",
                    range.start(),
                    range.end()
                );
                Err(self.wrong(name, must, &value))
            }
        }
    }

    /// As [`Fields::integer`], for ranges that a `u32` holds.
    pub(crate) fn count(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, HttpError> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        let number = self.integer(name, range)?;
        Ok(number.and_then(|it| u32::try_from(it).ok()))
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<(), HttpError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(HttpError::UnknownField {
                param: self.path(&shown(name)),
            }),
        }
    }
}

/// Says what the value at `path` must do, and what it is.
pub(crate) fn wrong(path: &str, must: impl Display, is: &Value) -> HttpError {
    HttpError::field(path, format!("`{path}` must {must}, not {}", kind(is)))
}

/// The token ids of a list at `path`.
pub(crate) fn token_ids(path: &str, items: &[Value]) -> Result<Vec<TokenId>, HttpError> {
    let id = |(index, item): (usize, &Value)| {
        let id = item.as_u64().and_then(|it| u32::try_from(it).ok());
        id.map(TokenId)
            .ok_or_else(|| wrong(&format!("{path}[{index}]"), "be a token id", item))
    };
    items.iter().enumerate().map(id).collect()
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
