//! JSON as text: where a value that is still being written ends, and how its members were written.

use super::format::ARGUMENTS_KEYS;

/// Looks for the end of an object or a list in pieces of text.
#[derive(Debug, Default)]
pub(super) struct ValueEnd {
    depth: u32,
    place: Place,
}

/// Where in JSON a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Structure,
    Text,
    /// Behind a backslash in text.
    Escape,
}

/// What is known of a value so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueState {
    /// It has not ended.
    Open,
    /// It ends before this byte of the piece.
    Ended(usize),
    /// It is neither an object nor a list.
    NotOne,
}

impl Place {
    /// Where the byte behind `byte` stands, which stands here.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Structure, b'"') => Self::Text,
            (Self::Text, b'"') => Self::Structure,
            (Self::Text, b'\\') => Self::Escape,
            (Self::Escape, _) => Self::Text,
            (place, _) => place,
        }
    }
}

impl ValueEnd {
    /// Begins inside a value.
    pub(super) fn inside() -> Self {
        Self {
            depth: 1,
            place: Place::Structure,
        }
    }

    /// Reads the next piece.
    pub(super) fn look(&mut self, piece: &str) -> ValueState {
        for (index, byte) in piece.bytes().enumerate() {
            let before = self.place;
            self.place = before.after(byte);
            if before != Place::Structure {
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth <= 1 => {
                    let is_end = self.depth == 1;
                    return if is_end {
                        ValueState::Ended(index + 1)
                    } else {
                        ValueState::NotOne
                    };
                }
                b'}' | b']' => self.depth -= 1,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if self.depth == 0 => return ValueState::NotOne,
                _ => {}
            }
        }
        ValueState::Open
    }
}

/// The members of an object, or of a list, of valid JSON: each as it was written, a key apart.
pub(super) fn members(value: &str) -> Vec<(Option<&str>, &str)> {
    let inner = value.trim();
    let Some(inner) = inner.get(1..inner.len().saturating_sub(1)) else {
        return Vec::new();
    };
    let (mut found, mut key, mut begin) = (Vec::new(), None, 0);
    let (mut depth, mut place) = (0_u32, Place::Structure);
    for (index, byte) in inner.bytes().enumerate() {
        let before = place;
        place = before.after(byte);
        match byte {
            _ if before != Place::Structure => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                key = Some(inner[begin..index].trim());
                begin = index + 1;
            }
            b',' if depth == 0 => {
                found.push((key.take(), inner[begin..index].trim()));
                begin = index + 1;
            }
            _ => {}
        }
    }
    let last = inner[begin..].trim();
    if !last.is_empty() {
        found.push((key, last));
    }
    found
}

/// What is known of the head of a call: an object up to the arguments in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallHead {
    /// It takes more text to know.
    Open,
    /// The arguments of the function of this name begin here.
    Arguments(String, usize),
    /// Only the whole object will tell.
    Whole,
    /// It is no object.
    Nothing,
}

/// Reads the head of a call.
pub(super) fn call_head(text: &str) -> CallHead {
    let mut cursor = Cursor { text, at: 0 };
    match cursor.head() {
        Ok(head) => head,
        Err(MoreText) => CallHead::Open,
    }
}

/// The text ends too soon.
struct MoreText;

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Result<u8, MoreText> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().bytes().next().ok_or(MoreText)
    }

    fn head(&mut self) -> Result<CallHead, MoreText> {
        if self.peek()? != b'{' {
            return Ok(CallHead::Nothing);
        }
        let mut name: Option<String> = None;
        loop {
            self.at += 1;
            if self.peek()? != b'"' {
                return Ok(CallHead::Whole);
            }
            let key = self.string()?;
            if self.peek()? != b':' {
                return Ok(CallHead::Whole);
            }
            self.at += 1;
            let first = self.peek()?;
            let key = serde_json::from_str::<String>(key).unwrap_or_default();
            match (&name, first) {
                (Some(name), b'{') if ARGUMENTS_KEYS.contains(&key.as_str()) => {
                    return Ok(CallHead::Arguments(name.clone(), self.at));
                }
                _ if ARGUMENTS_KEYS.contains(&key.as_str()) => return Ok(CallHead::Whole),
                (None, b'"') if key == "name" => {
                    let written = self.string()?;
                    name = serde_json::from_str(written).ok();
                }
                _ => self.skip(first)?,
            }
            if self.peek()? != b',' {
                return Ok(CallHead::Whole);
            }
        }
    }

    /// The string that begins here, with its quotes.
    fn string(&mut self) -> Result<&'t str, MoreText> {
        let begin = self.at;
        let mut place = Place::Structure;
        for (index, byte) in self.rest().bytes().enumerate() {
            let before = place;
            place = before.after(byte);
            if before == Place::Text && place == Place::Structure {
                self.at = begin + index + 1;
                return Ok(&self.text[begin..self.at]);
            }
        }
        Err(MoreText)
    }

    /// Leaves the value behind that begins with `first`.
    fn skip(&mut self, first: u8) -> Result<(), MoreText> {
        match first {
            b'"' => self.string().map(drop),
            b'{' | b'[' => match ValueEnd::default().look(self.rest()) {
                ValueState::Ended(bytes) => {
                    self.at += bytes;
                    Ok(())
                }
                _ => Err(MoreText),
            },
            _ => {
                self.at += self.rest().find([',', '}']).ok_or(MoreText)?;
                Ok(())
            }
        }
    }
}
