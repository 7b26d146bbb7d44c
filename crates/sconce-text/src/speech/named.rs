//! Names in front of arguments, between marks of their own.

use super::elements::Found;
use super::format::Named;
use super::functions::is_name;

impl Named {
    /// The name at the beginning of `text`, before arguments that are not missing.
    pub(super) fn read(&self, text: &str) -> Found<(String, bool)> {
        let Some(named) = text.strip_prefix(self.before) else {
            return if self.before.starts_with(text) {
                Found::Waits
            } else {
                Found::Nothing
            };
        };
        if let Some(place) = named.find(self.end) {
            let bytes = self.before.len() + place + self.end.len();
            return Found::At((self.name(&named[..place]), false), bytes);
        }
        let marks = [Some(self.end), self.aside];
        let begun = marks.into_iter().flatten().map(|it| begun_bytes(named, it));
        let certain = named.len() - begun.max().unwrap_or(0);
        let name = self.name(&named[..certain]);
        if name.is_empty() || is_name(&name) {
            Found::Waits
        } else {
            Found::Nothing
        }
    }

    fn name(&self, text: &str) -> String {
        let aside = self.aside.and_then(|it| text.split_once(it));
        let name = aside.map_or(text, |(name, _)| name).trim();
        if !self.is_numbered {
            return name.to_owned();
        }
        let name = name.strip_prefix("functions.").unwrap_or(name);
        name.split(':').next().unwrap_or_default().to_owned()
    }
}

/// The name in front of an object in a notation of its own.
pub(super) fn notation_head(text: &str, before: &str) -> Found<(String, bool)> {
    let Some(named) = text.strip_prefix(before) else {
        return if before.starts_with(text) {
            Found::Waits
        } else {
            Found::Nothing
        };
    };
    match named.find('{') {
        Some(place) => Found::At(
            (named[..place].trim().to_owned(), false),
            before.len() + place,
        ),
        None if named.is_empty() || is_name(named) => Found::Waits,
        None => Found::Nothing,
    }
}

/// Bytes at the end of `text` that `mark` begins with, and is longer.
pub(super) fn begun_bytes(text: &str, mark: &str) -> usize {
    let begins = |it: &usize| text.as_bytes().ends_with(&mark.as_bytes()[..*it]);
    (1..mark.len()).rev().find(begins).unwrap_or(0)
}
