//! Calls as elements: a tag with the function's name, and for each parameter a tag and its value.
//!
//! Values are written as they are, without escapes, so a value may hold what looks like a tag. What
//! ends it is only a closing tag that the next parameter or the end of the call follows.

/// How such a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) head: Tag,
    pub(super) parameter: Tag,
    /// Ends a value.
    pub(super) close: &'static str,
    /// Ends the call.
    pub(super) end: &'static str,
    /// Whether a value stands on lines of its own.
    pub(super) has_lines: bool,
    pub(super) kinds: Kinds,
}

/// A tag: `open`, a name, `name_end`, perhaps more, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) open: &'static str,
    /// Without one the name ends where its letters do.
    pub(super) name_end: &'static str,
    pub(super) end: &'static str,
}

/// What says of a value what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// The function's schema.
    OfTheSchema,
    /// The tag: it is text if this stands in it, and JSON if not.
    Told(&'static str),
}

/// What was found at the beginning of a text that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// It takes more text to know.
    Waits,
    Nothing,
    /// It takes so many bytes.
    At(T, usize),
}

impl<T> Found<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Waits => Found::Waits,
            Self::Nothing => Found::Nothing,
            Self::At(found, bytes) => Found::At(change(found), bytes),
        }
    }
}

/// A parameter as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'t> {
    pub(super) name: &'t str,
    /// What stands in the tag behind the name.
    pub(super) more: &'t str,
    pub(super) value: &'t str,
}

/// What a call goes on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'t> {
    Parameter(Parameter<'t>),
    End,
}

impl Tag {
    /// The name in a tag at the beginning of `text`, and what stands behind it.
    pub(super) fn read<'t>(&self, text: &'t str) -> Found<(&'t str, &'t str)> {
        let Some(named) = text.strip_prefix(self.open) else {
            return if self.open.starts_with(text) {
                Found::Waits
            } else {
                Found::Nothing
            };
        };
        let name_bytes = if self.name_end.is_empty() {
            named.find(|it| !super::functions::is_name_letter(it))
        } else {
            named.find(self.name_end)
        };
        let Some(name_bytes) = name_bytes else {
            return Found::Waits;
        };
        let behind = &named[name_bytes + self.name_end.len()..];
        let Some(more_bytes) = behind.find(self.end) else {
            return Found::Waits;
        };
        let left = behind.len() - more_bytes - self.end.len();
        let found = (&named[..name_bytes], &behind[..more_bytes]);
        Found::At(found, text.len() - left)
    }
}

impl Elements {
    pub(super) fn marks(&self) -> [&'static str; 8] {
        let Self {
            head, parameter, ..
        } = self;
        [
            head.open,
            head.name_end,
            head.end,
            parameter.open,
            parameter.name_end,
            parameter.end,
            self.close,
            self.end,
        ]
    }

    /// What `text` goes on with, behind the head or a parameter.
    pub(super) fn next<'t>(&self, text: &'t str) -> Found<Next<'t>> {
        let rest = text.trim_start();
        let space = text.len() - rest.len();
        if rest.starts_with(self.end) {
            return Found::At(Next::End, space + self.end.len());
        }
        match self.parameter.read(rest) {
            Found::Waits => Found::Waits,
            Found::Nothing if self.end.starts_with(rest) => Found::Waits,
            Found::Nothing => Found::Nothing,
            Found::At((name, more), bytes) => match self.value(&rest[bytes..]) {
                Found::At(value, value_bytes) => {
                    let parameter = Parameter { name, more, value };
                    Found::At(Next::Parameter(parameter), space + bytes + value_bytes)
                }
                _ => Found::Waits,
            },
        }
    }

    /// A value that nothing ended but the end of the call, which nothing follows.
    pub(super) fn last<'t>(&self, text: &'t str) -> Option<Parameter<'t>> {
        let rest = text.trim_start();
        let Found::At((name, more), bytes) = self.parameter.read(rest) else {
            return None;
        };
        let value = rest[bytes..].trim_end().strip_suffix(self.end)?;
        Some(Parameter { name, more, value })
    }

    fn value<'t>(&self, text: &'t str) -> Found<&'t str> {
        if self.has_lines && text.is_empty() {
            return Found::Waits;
        }
        if self.has_lines && text.starts_with('\n') {
            return self.lines(text);
        }
        match self.closing(text, self.close) {
            Some(place) => Found::At(&text[..place], place + self.close.len()),
            None => Found::Waits,
        }
    }

    /// A value on lines of its own; models forget to close it.
    fn lines<'t>(&self, text: &'t str) -> Found<&'t str> {
        let find = |mark: &str| text.find(&format!("\n{mark}"));
        let close = format!("\n{}", self.close);
        let closed = self.closing(text, &close);
        let forgotten = [find(self.parameter.open), find(self.end)];
        let forgotten = forgotten.into_iter().flatten().min();
        let (place, bytes) = match (closed, forgotten) {
            (Some(closed), Some(place)) if place < closed => (place, place),
            (Some(closed), _) => (closed, closed + close.len()),
            (None, Some(place)) => (place, place),
            (None, None) => return Found::Waits,
        };
        Found::At(&text[place.min(1)..place], bytes)
    }

    /// Where `close` stands with the next parameter or the end of the call behind it.
    fn closing(&self, text: &str, close: &str) -> Option<usize> {
        let goes_on = |place: &usize| {
            let rest = text[place + close.len()..].trim_start();
            rest.starts_with(self.parameter.open) || rest.starts_with(self.end)
        };
        text.match_indices(close)
            .map(|(place, _)| place)
            .find(goes_on)
    }
}
