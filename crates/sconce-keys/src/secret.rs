//! What a client sends, and what is kept of it.

use std::fmt::{self, Write};

use sha2::{Digest as _, Sha256};

/// What each secret begins with, so that a leaked one can be found by a search.
const PREFIX: &str = "sconce-";
/// Random bytes in a secret.
const RANDOM_BYTES: usize = 32;
/// Bytes of what a client sends that are looked at: much more than any secret has.
const SENT_BYTES_MAX: usize = 512;

/// A key as its owner has it. It is shown once and kept nowhere.
pub struct Secret(String);

/// The SHA-256 of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// No secret could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes: {fact}")]
pub struct SecretError {
    fact: String,
}

impl Secret {
    /// A secret that nobody has had before.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn new() -> Result<Self, SecretError> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| SecretError {
            fact: error.to_string(),
        })?;
        Ok(Self(format!("{PREFIX}{}", hexadecimal(&bytes))))
    }

    /// The secret itself, to be shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(not shown)")
    }
}

impl Digest {
    /// The digest of what a client sent, if that could be a secret at all.
    #[must_use]
    pub fn of_sent(sent: &str) -> Option<Self> {
        let is_likely = (1..=SENT_BYTES_MAX).contains(&sent.len());
        is_likely.then(|| Self(Sha256::digest(sent.as_bytes()).into()))
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hexadecimal(&self.0))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _never = write!(text, "{byte:02x}");
        text
    })
}
