//! JSON as text: where a value that is still being written ends, and how its members were written.

/// Looks for the end of an object or a list, over text that grows.
#[derive(Debug, Default)]
pub(super) struct ValueEnd {
    seen_bytes: usize,
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
    /// It ends before this byte.
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
    /// Reads on in `text`, which begins with what was seen before.
    pub(super) fn look(&mut self, text: &str) -> ValueState {
        let new = text.as_bytes().iter().enumerate().skip(self.seen_bytes);
        for (index, byte) in new {
            self.seen_bytes = index + 1;
            let before = self.place;
            self.place = before.after(*byte);
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
