//! JSON without the freedoms that hide mistakes: a key that stands twice is an error.
//!
//! Depth is bounded by `serde_json` (128 levels), numbers by what a double can hold.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::HttpError;

/// Reads a whole body as one JSON value.
pub(crate) fn parse(body: &[u8]) -> Result<Value, HttpError> {
    let parsed: Result<Strict, _> = serde_json::from_slice(body);
    parsed.map(|it| it.0).map_err(|error| HttpError::Json {
        fact: error.to_string(),
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                let fact = format!("the key `{}` stands twice in one object", shown(&key));
                return Err(de::Error::custom(fact));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A name out of the request as a message shows it: never longer than a line.
pub(crate) fn shown(name: &str) -> String {
    const CHARS_MAX: usize = 64;
    match name.char_indices().nth(CHARS_MAX) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(body: &[u8], expected: Expect) {
        let told = match parse(body) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn json_is_read_as_it_stands() {
        check(
            br#" {"a":[1,-2,3.5,"x",null,true],"b":{"a":18446744073709551615}} "#,
            expect![[r#"{"a":[1,-2,3.5,"x",null,true],"b":{"a":18446744073709551615}}"#]],
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        check(
            b"",
            expect![[
                r#"the body is not the JSON this server can read: EOF while parsing a value at line 1 column 0"#
            ]],
        );
        check(
            b"{\"a\":1",
            expect![[
                r#"the body is not the JSON this server can read: EOF while parsing an object at line 1 column 6"#
            ]],
        );
        check(
            b"{} {}",
            expect![[
                r#"the body is not the JSON this server can read: trailing characters at line 1 column 4"#
            ]],
        );
        check(
            b"\"\xff\"",
            expect![
                "the body is not the JSON this server can read: invalid unicode code point at line 1 column 2"
            ],
        );
        check(
            b"{\"a\":1e999}",
            expect![[
                r#"the body is not the JSON this server can read: number out of range at line 1 column 10"#
            ]],
        );
        check(
            br#"{"a":"\ud800"}"#,
            expect![
                "the body is not the JSON this server can read: unexpected end of hex escape at line 1 column 13"
            ],
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        check(
            br#"{"a":{"b":1,"b":2}}"#,
            expect![
                "the body is not the JSON this server can read: the key `b` stands twice in one object at line 1 column 15"
            ],
        );
    }

    #[test]
    fn a_deep_nest_is_refused_and_not_followed() {
        let body = "[".repeat(100_000);
        check(
            body.as_bytes(),
            expect![
                "the body is not the JSON this server can read: recursion limit exceeded at line 1 column 128"
            ],
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(shown(&"ü".repeat(65)), format!("{}…", "ü".repeat(64)));
        assert_eq!(shown("short"), "short");
    }
}
