//! A set of tokens.

use crate::TokenId;

/// The tokens of a vocabulary that may be drawn; all others may not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenMask {
    /// Token `t` is bit `t % 32` of word `t / 32`.
    words: Vec<u32>,
}

impl TokenMask {
    /// A set from its bits: token `t` is bit `t % 32` of word `t / 32`.
    #[must_use]
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// The bits, 32 tokens a word. Tokens behind the last word are not in the set.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether `token` may be drawn.
    #[must_use]
    pub fn allows(&self, token: TokenId) -> bool {
        let word = self.words.get((token.0 / 32) as usize);
        word.is_some_and(|it| it >> (token.0 % 32) & 1 == 1)
    }

    /// Whether nothing may be drawn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|it| *it == 0)
    }
}

impl FromIterator<TokenId> for TokenMask {
    fn from_iter<T: IntoIterator<Item = TokenId>>(tokens: T) -> Self {
        let mut words = Vec::new();
        for TokenId(token) in tokens {
            let word = (token / 32) as usize;
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (token % 32);
        }
        Self { words }
    }
}
