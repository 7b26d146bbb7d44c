//! A file's metadata by key, as the type that is wanted or as an error that says what is there.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;

use crate::load_error::{LoadError, LoadFault};

/// The keys and values of a weights file.
pub struct Metadata {
    pub(super) file: PathBuf,
    pub(super) values: HashMap<String, Value>,
}

impl Metadata {
    /// Keys and values that are made of something else.
    pub(crate) fn of(file: &Path, entries: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self {
            file: file.to_owned(),
            values: entries.into_iter().collect(),
        }
    }

    /// All keys and values.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> Vec<(String, Value)> {
        self.values.clone().into_iter().collect()
    }

    /// The file they are from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The value of `key`, which must be there.
    pub fn get<'m, T: MetadataValue<'m>>(&'m self, key: &str) -> Result<T, LoadError> {
        let missing = || LoadFault::KeyMissing {
            key: key.to_owned(),
            wanted: T::WANTED,
        };
        self.find(key)?.ok_or_else(|| missing().in_file(&self.file))
    }

    /// The value of `key`, or `None` if the file does not have it. A value of another type is an
    /// error in either case. Integers may have any width they fit in.
    pub fn find<'m, T: MetadataValue<'m>>(&'m self, key: &str) -> Result<Option<T>, LoadError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match T::from_value(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.bad_value(key, T::WANTED, describe(value))),
        }
    }

    /// An error that says what `key` should have been.
    pub(crate) fn bad_value(
        &self,
        key: &str,
        wanted: impl Into<String>,
        found: impl fmt::Display,
    ) -> LoadError {
        let (key, wanted, found) = (key.to_owned(), wanted.into(), found.to_string());
        LoadFault::KeyValue { key, wanted, found }.in_file(&self.file)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys: Vec<&String> = self.values.keys().collect();
        keys.sort();
        formatter
            .debug_struct("Metadata")
            .field("file", &self.file)
            .field("keys", &keys)
            .finish()
    }
}

/// A Rust type that a metadata value can be read as.
pub trait MetadataValue<'m>: Sized {
    /// How an error calls the type.
    const WANTED: &'static str;

    /// `None` if the value is of another type or out of range.
    fn from_value(value: &'m Value) -> Option<Self>;
}

fn integer(value: &Value) -> Option<i128> {
    Some(match value {
        Value::U8(number) => (*number).into(),
        Value::I8(number) => (*number).into(),
        Value::U16(number) => (*number).into(),
        Value::I16(number) => (*number).into(),
        Value::U32(number) => (*number).into(),
        Value::I32(number) => (*number).into(),
        Value::U64(number) => (*number).into(),
        Value::I64(number) => (*number).into(),
        _ => return None,
    })
}

impl MetadataValue<'_> for u32 {
    const WANTED: &'static str = "an integer from 0 to 4294967295";

    fn from_value(value: &Value) -> Option<Self> {
        integer(value)?.try_into().ok()
    }
}

impl MetadataValue<'_> for i64 {
    const WANTED: &'static str = "an integer of 64 bits";

    fn from_value(value: &Value) -> Option<Self> {
        integer(value)?.try_into().ok()
    }
}

impl MetadataValue<'_> for f32 {
    const WANTED: &'static str = "a finite floating-point number";

    fn from_value(value: &Value) -> Option<Self> {
        let number = match value {
            Value::F32(number) => *number,
            Value::F64(number) => *number as Self,
            _ => return None,
        };
        Some(number).filter(|it| it.is_finite())
    }
}

impl MetadataValue<'_> for bool {
    const WANTED: &'static str = "a boolean";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
}

impl<'m> MetadataValue<'m> for &'m str {
    const WANTED: &'static str = "a string";

    fn from_value(value: &'m Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

fn elements<'m, T: MetadataValue<'m>>(value: &'m Value) -> Option<Vec<T>> {
    match value {
        Value::Array(values) => values.iter().map(T::from_value).collect(),
        _ => None,
    }
}

impl<'m> MetadataValue<'m> for Vec<&'m str> {
    const WANTED: &'static str = "an array of strings";

    fn from_value(value: &'m Value) -> Option<Self> {
        elements(value)
    }
}

impl MetadataValue<'_> for Vec<bool> {
    const WANTED: &'static str = "an array of booleans";

    fn from_value(value: &Value) -> Option<Self> {
        elements(value)
    }
}

impl MetadataValue<'_> for Vec<f32> {
    const WANTED: &'static str = "an array of finite floating-point numbers";

    fn from_value(value: &Value) -> Option<Self> {
        elements(value)
    }
}

impl MetadataValue<'_> for Vec<i64> {
    const WANTED: &'static str = "an array of integers";

    fn from_value(value: &Value) -> Option<Self> {
        elements(value)
    }
}

/// What a value is, in a few words however large it is.
fn describe(value: &Value) -> String {
    match value {
        Value::F32(number) => format!("the f32 {number}"),
        Value::F64(number) => format!("the f64 {number}"),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::String(text) => format!("a string of {} bytes", text.len()),
        Value::Array(values) => match values.first() {
            None => "an empty array".to_owned(),
            Some(first) => {
                format!(
                    "an array of {} beginning with {}",
                    values.len(),
                    describe(first)
                )
            }
        },
        other => format!("the integer {}", integer(other).unwrap_or_default()),
    }
}
