//! The letters that byte-pair vocabularies write bytes with, since their files hold only text.
//!
//! Bytes that print stand for themselves, all others get the letters from U+0100 on, in order.
//! Source: Radford et al. 2019, the vocabulary of GPT-2.

use std::collections::HashMap;

/// Both directions of the alphabet.
#[derive(Debug)]
pub(super) struct ByteLetters {
    letters: [char; 256],
    bytes: HashMap<char, u8>,
}

impl ByteLetters {
    pub(super) fn new() -> Self {
        let mut letters = ['\0'; 256];
        let mut borrowed = (0x100_u32..).filter_map(char::from_u32);
        for byte in 0..=u8::MAX {
            letters[usize::from(byte)] = if byte_prints(byte) {
                char::from(byte)
            } else {
                borrowed
                    .next()
                    .expect("there are more than 256 characters above U+0100")
            };
        }
        let bytes = (0..=u8::MAX)
            .map(|byte| (letters[usize::from(byte)], byte))
            .collect();
        Self { letters, bytes }
    }

    pub(super) fn letter(&self, byte: u8) -> char {
        self.letters[usize::from(byte)]
    }

    /// Writes a text's bytes as letters.
    pub(super) fn spell(&self, text: &str) -> String {
        text.bytes().map(|byte| self.letter(byte)).collect()
    }

    /// The bytes that a token stands for. What is no letter of the alphabet stands for itself.
    pub(super) fn read(&self, token: &str) -> Vec<u8> {
        let mut read = Vec::with_capacity(token.len());
        for character in token.chars() {
            match self.bytes.get(&character) {
                Some(byte) => read.push(*byte),
                None => read.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        read
    }
}

fn byte_prints(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}
