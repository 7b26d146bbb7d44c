//! Values that are written in other notations than JSON, turned into JSON as they are read.

use serde_json::Value;

use super::elements::Found;
use super::functions::is_name;
use super::written::WrittenCall;

/// What text stands between in the object notation.
pub(super) const QUOTE: &str = "<|\"|>";
/// Values in values that are read.
const DEPTH_MAX: u32 = 64;

/// Which notation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// Keys without quotes, and text between [`QUOTE`]s.
    Object,
    /// A programming language's literals.
    Expression,
}

/// Why nothing was read.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The text ends before the value does.
    End,
    Wrong,
}

/// The object that `text` begins with.
pub(super) fn object(text: &str) -> Found<String> {
    let mut reader = Reader::new(text, Notation::Object);
    let mut json = String::new();
    found(reader.value(DEPTH_MAX, &mut json).map(|()| json), &reader)
}

/// The list of calls that `text` begins with.
pub(super) fn calls(text: &str) -> Found<Vec<WrittenCall>> {
    let mut reader = Reader::new(text, Notation::Expression);
    found(reader.calls(), &reader)
}

fn found<T>(read: Result<T, Fault>, reader: &Reader<'_>) -> Found<T> {
    match read {
        Ok(value) => Found::At(value, reader.text.len() - reader.rest.len()),
        Err(Fault::End) => Found::Waits,
        Err(Fault::Wrong) => Found::Nothing,
    }
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    notation: Notation,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, notation: Notation) -> Self {
        Self {
            text,
            rest: text,
            notation,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// Leaves `mark` behind if it stands here, whatever space is before it.
    fn passes(&mut self, mark: &str) -> Result<bool, Fault> {
        self.skip_space();
        if self.rest.starts_with(mark) {
            self.take(mark.len());
            return Ok(true);
        }
        if mark.starts_with(self.rest) {
            return Err(Fault::End);
        }
        Ok(false)
    }

    fn expect(&mut self, mark: &str) -> Result<(), Fault> {
        if self.passes(mark)? {
            Ok(())
        } else {
            Err(Fault::Wrong)
        }
    }

    /// What stands before the first of `ends`.
    fn until(&mut self, ends: &[char]) -> Result<&'t str, Fault> {
        let bytes = self.rest.find(ends).ok_or(Fault::End)?;
        Ok(self.take(bytes))
    }

    fn calls(&mut self) -> Result<Vec<WrittenCall>, Fault> {
        let mut calls = Vec::new();
        self.expect("[")?;
        loop {
            let name = self.until(&['(', ']'])?.trim();
            if !is_name(name) {
                return Err(Fault::Wrong);
            }
            self.expect("(")?;
            let mut arguments = "{".to_owned();
            self.members(")", DEPTH_MAX, &mut arguments)?;
            calls.push(WrittenCall {
                name: name.to_owned(),
                arguments,
            });
            if self.passes("]")? {
                return Ok(calls);
            }
            self.expect(",")?;
        }
    }

    fn value(&mut self, depth: u32, json: &mut String) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Wrong)?;
        if self.passes("{")? {
            json.push('{');
            return self.members("}", depth, json);
        }
        if self.passes("[")? {
            json.push('[');
            return self.items(depth, json);
        }
        if let Some(text) = self.text()? {
            json.push_str(&Value::from(text).to_string());
            return Ok(());
        }
        self.word(json)
    }

    /// Members of an object, or arguments of a call, behind its bracket.
    fn members(&mut self, end: &str, depth: u32, json: &mut String) -> Result<(), Fault> {
        if !self.passes(end)? {
            loop {
                let key = self.key(end)?;
                json.push_str(&Value::from(key).to_string());
                json.push_str(": ");
                self.value(depth, json)?;
                if self.passes(end)? {
                    break;
                }
                self.expect(",")?;
                json.push_str(", ");
            }
        }
        json.push('}');
        Ok(())
    }

    fn key(&mut self, end: &str) -> Result<String, Fault> {
        self.skip_space();
        if end == ")" {
            let name = self.until(&['=', ')'])?.trim().to_owned();
            self.expect("=")?;
            return if is_name(&name) {
                Ok(name)
            } else {
                Err(Fault::Wrong)
            };
        }
        let key = match self.text()? {
            Some(key) => key,
            None if self.notation == Notation::Object => self.until(&[':', '}'])?.trim().to_owned(),
            None => return Err(Fault::Wrong),
        };
        self.expect(":")?;
        Ok(key)
    }

    fn items(&mut self, depth: u32, json: &mut String) -> Result<(), Fault> {
        if !self.passes("]")? {
            loop {
                self.value(depth, json)?;
                if self.passes("]")? {
                    break;
                }
                self.expect(",")?;
                json.push_str(", ");
            }
        }
        json.push(']');
        Ok(())
    }

    /// Text between quotes, if that stands here.
    fn text(&mut self) -> Result<Option<String>, Fault> {
        if self.notation == Notation::Object && self.passes(QUOTE)? {
            let bytes = self.rest.find(QUOTE).ok_or(Fault::End)?;
            let text = self.take(bytes).to_owned();
            self.take(QUOTE.len());
            return Ok(Some(text));
        }
        if self.passes("\"")? {
            return self.escaped('"').map(Some);
        }
        if self.notation == Notation::Expression && self.passes("'")? {
            return self.escaped('\'').map(Some);
        }
        Ok(None)
    }

    /// Text behind its quote, with escapes in it.
    fn escaped(&mut self, quote: char) -> Result<String, Fault> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices();
        while let Some((place, letter)) = letters.next() {
            if letter == quote {
                self.take(place + letter.len_utf8());
                return Ok(text);
            }
            if letter != '\\' {
                text.push(letter);
                continue;
            }
            let (_, escape) = letters.next().ok_or(Fault::End)?;
            match escape {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                '\\' | '\'' | '"' | '/' => text.push(escape),
                'x' => text.push(hexadecimal(&mut letters, 2)?),
                'u' => text.push(hexadecimal(&mut letters, 4)?),
                // What is no escape is what it looks like.
                other => text.extend(['\\', other]),
            }
        }
        Err(Fault::End)
    }

    /// A number or a literal.
    fn word(&mut self, json: &mut String) -> Result<(), Fault> {
        let word = self.until(&[',', '}', ']', ')'])?.trim();
        match (word, self.notation) {
            ("true" | "True", _) => json.push_str("true"),
            ("false" | "False", _) => json.push_str("false"),
            ("null" | "None", _) => json.push_str("null"),
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => json.push_str(word),
            ("", _) | (_, Notation::Expression) => return Err(Fault::Wrong),
            (word, Notation::Object) => json.push_str(&Value::from(word).to_string()),
        }
        Ok(())
    }
}

fn hexadecimal(letters: &mut std::str::CharIndices<'_>, count: usize) -> Result<char, Fault> {
    let mut code = 0;
    for _ in 0..count {
        let (_, letter) = letters.next().ok_or(Fault::End)?;
        code = code * 16 + letter.to_digit(16).ok_or(Fault::Wrong)?;
    }
    char::from_u32(code).ok_or(Fault::Wrong)
}
