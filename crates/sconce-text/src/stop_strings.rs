//! Finds stop strings in streamed text, holding back no more than could still become one.
//!
//! # Which match counts
//! The one that is complete first, and of those the longest: an answer ends as soon as any stop
//! string has been said, and it is the same answer however the text was cut into chunks.

use std::sync::Arc;

use crate::TextError;

/// The stop strings of a request.
#[derive(Debug, Clone)]
pub struct StopStrings {
    patterns: Arc<[Pattern]>,
}

/// Watches one answer for the stop strings.
#[derive(Debug)]
pub struct StopScanner {
    patterns: Arc<[Pattern]>,
    /// How many bytes of each pattern the text so far ends with.
    matched: Vec<usize>,
    /// The end of the text so far.
    tail: String,
    /// How much of `tail` was given out; what follows is as long as the longest of `matched`.
    given_bytes: usize,
    stopped_by: Option<usize>,
}

/// What may be sent on after a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Text that is certainly no part of a stop string.
    pub text: String,
    /// The stop string that was reached, by its place in the list: nothing comes after `text`.
    pub stopped_by: Option<usize>,
}

/// A stop string and, for each of its prefixes, the longest proper prefix that is also its suffix.
/// Source: Knuth, Morris and Pratt 1977, "Fast pattern matching in strings".
#[derive(Debug)]
struct Pattern {
    bytes: Box<[u8]>,
    fallback: Box<[usize]>,
}

impl StopStrings {
    /// Prepares the strings; an empty one is refused. No strings at all never stop anything.
    pub fn new(strings: &[String]) -> Result<Self, TextError> {
        if let Some(index) = strings.iter().position(String::is_empty) {
            return Err(TextError::StopStringEmpty { index });
        }
        Ok(Self {
            patterns: strings
                .iter()
                .map(|it| Pattern::new(it.as_bytes()))
                .collect(),
        })
    }

    /// Begins to watch an answer.
    #[must_use]
    pub fn scanner(&self) -> StopScanner {
        StopScanner {
            patterns: Arc::clone(&self.patterns),
            matched: vec![0; self.patterns.len()],
            tail: String::new(),
            given_bytes: 0,
            stopped_by: None,
        }
    }
}

impl StopScanner {
    /// Takes the next piece of text and gives what may be sent. Nothing does after a stop.
    #[must_use = "the text is given out once"]
    pub fn push(&mut self, piece: &str) -> Scanned {
        if self.stopped_by.is_some() {
            return Scanned {
                text: String::new(),
                stopped_by: self.stopped_by,
            };
        }
        for (place, byte) in piece.bytes().enumerate() {
            if let Some(index) = self.advance(byte) {
                return self.stop(index, piece, place + 1);
            }
        }
        self.tail.push_str(piece);
        Scanned {
            text: self.give_what_is_certain(),
            stopped_by: None,
        }
    }

    /// Takes a piece of text in which nothing stops yet, and gives what may be sent. A stop string
    /// that begins in it may be completed by a later piece.
    #[must_use = "the text is given out once"]
    pub fn pass(&mut self, piece: &str) -> String {
        for byte in piece.bytes() {
            let _stops_nothing = self.advance(byte);
        }
        for (matched, pattern) in self.matched.iter_mut().zip(&*self.patterns) {
            if *matched == pattern.bytes.len() {
                *matched = pattern.fallback[*matched];
            }
        }
        self.tail.push_str(piece);
        self.give_what_is_certain()
    }

    /// Gives the text that no stop string can begin in any more. A pattern begins with a whole
    /// character, so the text that matches it does too.
    fn give_what_is_certain(&mut self) -> String {
        let held_bytes = self.matched.iter().copied().max().unwrap_or(0);
        self.give_up_to(self.tail.len() - held_bytes)
    }

    /// Gives the text up to `end` and forgets it once most of the tail is given.
    fn give_up_to(&mut self, end: usize) -> String {
        let text = self.tail[self.given_bytes..end].to_owned();
        self.given_bytes = end;
        if self.given_bytes > self.tail.len() / 2 {
            self.tail.drain(..self.given_bytes);
            self.given_bytes = 0;
        }
        text
    }

    /// Gives what was held back, when the answer ends by itself.
    #[must_use = "the text is given out once"]
    pub fn finish(&mut self) -> String {
        self.matched.fill(0);
        self.give_up_to(self.tail.len())
    }

    /// Takes one byte; the longest pattern that it completes, if any.
    fn advance(&mut self, byte: u8) -> Option<usize> {
        let mut completed: Option<usize> = None;
        for (index, pattern) in self.patterns.iter().enumerate() {
            self.matched[index] = pattern.advance(self.matched[index], byte);
            let is_longer = completed.is_none_or(|it| self.length(it) < pattern.bytes.len());
            if self.matched[index] == pattern.bytes.len() && is_longer {
                completed = Some(index);
            }
        }
        completed
    }

    fn length(&self, index: usize) -> usize {
        self.patterns[index].bytes.len()
    }

    /// Ends with the pattern that the first `taken_bytes` of `piece` completed.
    fn stop(&mut self, index: usize, piece: &str, taken_bytes: usize) -> Scanned {
        self.tail.push_str(&piece[..taken_bytes]);
        let text = self.give_up_to(self.tail.len() - self.length(index));
        self.tail.clear();
        self.given_bytes = 0;
        self.stopped_by = Some(index);
        Scanned {
            text,
            stopped_by: self.stopped_by,
        }
    }
}

impl Pattern {
    fn new(bytes: &[u8]) -> Self {
        let mut pattern = Self {
            bytes: bytes.into(),
            fallback: vec![0; bytes.len() + 1].into(),
        };
        for (length, byte) in bytes.iter().enumerate().skip(1) {
            let shorter = pattern.advance(pattern.fallback[length], *byte);
            pattern.fallback[length + 1] = shorter;
        }
        pattern
    }

    /// The length of the longest prefix that text ends with, after `matched` bytes and one more.
    fn advance(&self, matched: usize, byte: u8) -> usize {
        let mut matched = matched;
        while self.bytes.get(matched) != Some(&byte) {
            if matched == 0 {
                return 0;
            }
            matched = self.fallback[matched];
        }
        matched + 1
    }
}
