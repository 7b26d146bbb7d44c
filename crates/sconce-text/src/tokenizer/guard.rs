//! Keeps what clients write from becoming control tokens, in a prompt whose template writes them.
//!
//! A template joins its own marks and the clients' texts to one text, so the texts go in guarded:
//! behind the first letter of each spelled control token stands a seal, a code point that Unicode
//! will never give a character. No mark is found across a seal, and where text becomes tokens the
//! seals are left out. A seal that a client writes is written twice, and so is kept.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use crate::TextError;
use crate::vocabulary::{TokenClass, Vocabulary};

/// A code point that is reserved for use inside a program.
pub(crate) const SEAL: char = '\u{FDD0}';

/// Guards texts against the control tokens of one vocabulary.
#[derive(Debug, Default)]
pub struct Guard {
    /// Finds control tokens, those that overlap too; none where there are none.
    finder: Option<AhoCorasick>,
}

/// A prompt that a template has rendered. Only its own marks become control tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    guarded: String,
}

impl Rendered {
    /// `guarded` was made of guarded texts.
    pub(crate) fn new(guarded: String) -> Self {
        Self { guarded }
    }

    /// The prompt as people read it.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        unsealed(&self.guarded)
    }

    pub(crate) fn guarded(&self) -> &str {
        &self.guarded
    }
}

impl Guard {
    /// A guard for vocabularies without control tokens.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let rows = vocabulary.tokens.iter().zip(&vocabulary.classes);
        let is_control =
            |class: &TokenClass| matches!(class, TokenClass::Control | TokenClass::Unknown);
        let spelled: Vec<&String> = rows
            .filter(|(text, class)| is_control(class) && !text.is_empty())
            .map(|(text, _)| text)
            .collect();
        if spelled.is_empty() {
            return Ok(Self::none());
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(spelled)
            .map_err(|error| TextError::broken(format!("its control tokens: {error}")))?;
        Ok(Self {
            finder: Some(finder),
        })
    }

    /// Guards every text in `value`, keys too.
    pub(crate) fn seal(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.sealed(&text)),
            Value::Array(items) => items.into_iter().map(|it| self.seal(it)).collect(),
            Value::Object(fields) => {
                let fields = fields.into_iter();
                let sealed = fields.map(|(key, value)| (self.sealed(&key), self.seal(value)));
                Value::Object(sealed.collect())
            }
            other => other,
        }
    }

    fn sealed(&self, text: &str) -> String {
        let found = self
            .finder
            .iter()
            .flat_map(|it| it.find_overlapping_iter(text));
        let behind_first = |start: usize| {
            let first = text[start..].chars().next().map_or(0, char::len_utf8);
            start + first
        };
        let mut places: Vec<usize> = found.map(|it| behind_first(it.start())).collect();
        places.sort_unstable();
        places.dedup();
        let mut sealed = String::with_capacity(text.len() + places.len() * SEAL.len_utf8());
        let mut places = places.into_iter().peekable();
        for (place, letter) in text.char_indices() {
            if places.next_if_eq(&place).is_some() {
                sealed.push(SEAL);
            }
            if letter == SEAL {
                sealed.push(SEAL);
            }
            sealed.push(letter);
        }
        sealed
    }
}

/// `text` without its seals.
pub(super) fn unsealed(text: &str) -> Cow<'_, str> {
    if !text.contains(SEAL) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != SEAL {
            plain.push(letter);
        } else if let Some(next) = letters.next() {
            plain.push(next);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guard(spelled: &[&str]) -> Guard {
        Guard {
            finder: Some(AhoCorasick::new(spelled).expect("they are few")),
        }
    }

    #[test]
    fn tokens_that_overlap_are_all_sealed() {
        let sealed = guard(&["ab", "bc", "<|x|>"]).sealed("abc <|x|><|x|>");
        assert_eq!(sealed.replace(SEAL, "*"), "a*b*c <*|x|><*|x|>");
    }

    proptest! {
        #[test]
        fn a_sealed_text_spells_no_token_and_is_the_same_text(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<|x|>", "<|", "x", "|>", "<", "é", "\u{FDD0}", "<|y", "\n",
            ]), 0..12),
        ) {
            let spelled = ["<|x|>", "<|y|>", "|><", "é<"];
            let text = parts.concat();
            let sealed = guard(&spelled).sealed(&text);
            prop_assert!(spelled.iter().all(|it| !sealed.contains(it)), "{sealed:?}");
            prop_assert_eq!(unsealed(&sealed), text);
        }
    }
}
