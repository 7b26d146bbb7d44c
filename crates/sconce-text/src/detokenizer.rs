//! Bytes of tokens to text, one token at a time, never half a character.

use crate::Tokenizer;

/// Turns the bytes of one answer's tokens into text. What it gives out, put together, is what
/// [`String::from_utf8_lossy`] makes of all the bytes at once.
#[derive(Debug, Default)]
pub struct Detokenizer {
    /// The beginning of a character whose end is still to come; at most three bytes.
    pending: Vec<u8>,
    /// Whether a space that encoding added is still to be taken away.
    space_is_due: bool,
}

impl Detokenizer {
    /// For tokens that go on from a prompt: every byte counts.
    #[must_use]
    pub fn after_prompt() -> Self {
        Self::default()
    }

    /// For the tokens of a text from its start: a space that encoding added is taken away.
    #[must_use]
    pub fn of_whole_text(tokenizer: &Tokenizer) -> Self {
        Self {
            pending: Vec::new(),
            space_is_due: tokenizer.adds_space_prefix(),
        }
    }

    /// Takes the next token's bytes (see [`Tokenizer::token_bytes`]) and gives the text that is
    /// complete with them.
    #[must_use = "the text is given out once"]
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut bytes = bytes;
        if self.space_is_due && !bytes.is_empty() {
            self.space_is_due = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.pending.len());
        let mut rest = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            if chunks.peek().is_none() && is_beginning(chunk.invalid()) {
                rest = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - rest);
        text
    }

    /// Gives what is left at the end: a character that was never completed, as U+FFFD.
    #[must_use = "the text is given out once"]
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether more bytes could make a character of these.
fn is_beginning(invalid: &[u8]) -> bool {
    matches!(std::str::from_utf8(invalid), Err(error) if error.error_len().is_none())
}
