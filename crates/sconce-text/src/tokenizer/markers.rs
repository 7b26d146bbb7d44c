//! Finds tokens that are recognised by their text before anything else: the markers in a prompt.

use aho_corasick::{AhoCorasick, MatchKind};
use sconce_domain::TokenId;

use super::Specials;
use crate::TextError;
use crate::vocabulary::{TokenClass, Vocabulary};

/// Splits text at markers. Of overlapping markers the leftmost wins, of those the longest.
#[derive(Debug)]
pub(super) struct Markers {
    /// User-defined tokens: text that is found whatever was asked for.
    text_only: Finder,
    /// These and the control tokens.
    all: Finder,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// Text to encode; never empty.
    Text(&'t str),
    /// A marker.
    Marker(TokenId),
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    tokens: Vec<TokenId>,
}

impl Markers {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let text_only = Finder::new(vocabulary, |it| it == TokenClass::UserDefined)?;
        let all = Finder::new(vocabulary, |it| {
            matches!(
                it,
                TokenClass::UserDefined | TokenClass::Control | TokenClass::Unknown
            )
        })?;
        Ok(Self { text_only, all })
    }

    pub(super) fn split<'t>(&self, text: &'t str, specials: Specials) -> Vec<Fragment<'t>> {
        match specials {
            Specials::Plain => self.text_only.split(text),
            Specials::Parsed => self.all.split(text),
        }
    }
}

impl Finder {
    fn new(vocabulary: &Vocabulary, wanted: fn(TokenClass) -> bool) -> Result<Self, TextError> {
        let rows = (0..)
            .map(TokenId)
            .zip(&vocabulary.tokens)
            .zip(&vocabulary.classes);
        let (tokens, texts): (Vec<TokenId>, Vec<&String>) = rows
            .filter(|((_, text), class)| wanted(**class) && !text.is_empty())
            .map(|((token, text), _)| (token, text))
            .unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts)
            .map_err(|error| TextError::broken(format!("its special tokens: {error}")))?;
        Ok(Self { automaton, tokens })
    }

    fn split<'t>(&self, text: &'t str) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            if found.start() > done {
                fragments.push(Fragment::Text(&text[done..found.start()]));
            }
            fragments.push(Fragment::Marker(self.tokens[found.pattern().as_usize()]));
            done = found.end();
        }
        if done < text.len() {
            fragments.push(Fragment::Text(&text[done..]));
        }
        fragments
    }
}
