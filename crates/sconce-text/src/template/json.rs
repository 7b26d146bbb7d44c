//! The filter `tojson`, which writes what Python's `json.dumps` writes: models were trained on it.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::tokenizer::guard::SEAL;

/// Deeper values are refused: writing them would take the stack.
const DEPTH_MAX: usize = 128;

/// Writes a value as JSON. Keywords: `ensure_ascii` (false unless given), `indent`, `separators`,
/// `sort_keys`.
pub(super) fn to_json(value: &Value, keywords: Kwargs) -> Result<Value, Error> {
    let style = Style::read(&keywords)?;
    keywords.assert_all_used()?;
    let mut writer = Writer {
        style,
        text: String::new(),
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.text))
}

/// How JSON is laid out.
struct Style {
    escapes: Escapes,
    order: Order,
    indent: Option<String>,
    between_items: String,
    after_key: String,
}

#[derive(PartialEq, Eq)]
enum Escapes {
    WhatMust,
    AllButAscii,
}

#[derive(PartialEq, Eq)]
enum Order {
    AsGiven,
    ByKey,
}

impl Style {
    fn read(keywords: &Kwargs) -> Result<Self, Error> {
        let ensures_ascii = keywords
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false);
        let sorts_keys = keywords.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
        let indent = read_indent(keywords.get::<Option<Value>>("indent")?.as_ref())?;
        let separators = keywords.get::<Option<Vec<String>>>("separators")?;
        let (between_items, after_key) = match separators.as_deref() {
            None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
            None => (", ".to_owned(), ": ".to_owned()),
            Some([between_items, after_key]) => (between_items.clone(), after_key.clone()),
            Some(_) => return Err(refuse("tojson takes two separators")),
        };
        Ok(Self {
            escapes: if ensures_ascii {
                Escapes::AllButAscii
            } else {
                Escapes::WhatMust
            },
            order: if sorts_keys {
                Order::ByKey
            } else {
                Order::AsGiven
            },
            indent,
            between_items,
            after_key,
        })
    }
}

/// A number of spaces or a text, as in Python.
fn read_indent(value: Option<&Value>) -> Result<Option<String>, Error> {
    let Some(value) = value.filter(|it| !it.is_none() && !it.is_undefined()) else {
        return Ok(None);
    };
    if let Some(text) = value.as_str() {
        return Ok(Some(text.to_owned()));
    }
    match value.as_i64() {
        Some(spaces @ ..=32) => Ok(Some(" ".repeat(usize::try_from(spaces).unwrap_or(0)))),
        _ => Err(refuse("tojson takes an indent of at most 32 spaces")),
    }
}

struct Writer {
    style: Style,
    text: String,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(refuse("tojson takes no value nested deeper than 128"));
        }
        match value.kind() {
            ValueKind::None => self.text.push_str("null"),
            ValueKind::Bool => self
                .text
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value)?,
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            kind => return Err(refuse(&format!("{kind} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut items = value.try_iter()?.peekable();
        if items.peek().is_none() {
            self.text.push_str("[]");
            return Ok(());
        }
        self.text.push('[');
        for (place, item) in items.enumerate() {
            self.separate(place, depth + 1);
            self.value(&item, depth + 1)?;
        }
        self.line_break(depth);
        self.text.push(']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut entries = Vec::new();
        for key in value.try_iter()? {
            entries.push((key_text(&key)?, value.get_item(&key)?));
        }
        if entries.is_empty() {
            self.text.push_str("{}");
            return Ok(());
        }
        if self.style.order == Order::ByKey {
            entries.sort_by(|left, right| left.0.cmp(&right.0));
        }
        self.text.push('{');
        for (place, (key, item)) in entries.iter().enumerate() {
            self.separate(place, depth + 1);
            self.string(key);
            self.text.push_str(&self.style.after_key);
            self.value(item, depth + 1)?;
        }
        self.line_break(depth);
        self.text.push('}');
        Ok(())
    }

    fn separate(&mut self, place: usize, depth: usize) {
        if place > 0 {
            self.text.push_str(&self.style.between_items);
        }
        self.line_break(depth);
    }

    fn line_break(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.text.push('\n');
            for _ in 0..depth {
                self.text.push_str(indent);
            }
        }
    }

    fn number(&mut self, value: &Value) -> Result<(), Error> {
        if value.is_integer() {
            self.text.push_str(&value.to_string());
        } else {
            self.text
                .push_str(&float_text(f64::try_from(value.clone())?));
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\0'..' ' => self.escape(character),
                // What guards a text must be found again behind it.
                SEAL => self.text.push(character),
                '\u{7f}'.. if self.style.escapes == Escapes::AllButAscii => self.escape(character),
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            self.text.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

/// Keys that are no text are written as Python writes them.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(key.is_true().to_string()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => Ok(float_text(f64::try_from(key.clone())?)),
        kind => Err(refuse(&format!("{kind} cannot be a key in JSON"))),
    }
}

/// A float as Python shows it: the fewest digits that read back the same, with an exponent below
/// 1e-4 and from 1e16 on.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..16 => format!("{number:?}"),
        exponent if exponent < 0 => format!("{digits}e-{:02}", -exponent),
        exponent => format!("{digits}e+{exponent:02}"),
    }
}

fn refuse(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::float_text;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (3.5, "3.5"),
            (20.0, "20.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (number, text) in cases {
            assert_eq!(float_text(number), text);
        }
    }
}
