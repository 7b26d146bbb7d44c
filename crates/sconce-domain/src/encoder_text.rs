//! A text as an encoder takes it.

use crate::TokenId;

/// One text, or two that are read together, as tokens with their markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderText {
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// Where the second text begins; at the end, if there is none.
    pub second_starts: usize,
}
