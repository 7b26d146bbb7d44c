//! An encoder as clients know it: a name, and all that turns their texts into its tokens.

use std::sync::Arc;

use sconce_domain::TokenCount;
use sconce_text::EncoderTokenizer;

use crate::encoder_thread::EncoderHandle;

/// What the pipeline is given to serve an encoder.
#[derive(Debug)]
pub struct ServedEncoder {
    /// The name in lists and answers.
    pub name: Arc<str>,
    /// Its tokenizer.
    pub tokenizer: Arc<EncoderTokenizer>,
    /// What it makes of a text.
    pub kind: EncoderKind,
    /// Tokens that a text may have, with the markers around it.
    pub context: TokenCount,
    /// How many tokens it knows.
    pub vocabulary: u32,
    /// The thread that runs it.
    pub encoder: EncoderHandle,
    /// When it was made, in seconds since 1970, as the list of models shows it.
    pub created_s: u64,
}

/// What an encoder makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    /// A vector of so many numbers.
    Vectors {
        /// How many.
        dimensions: usize,
    },
    /// Of two texts, a logit that says how well they fit.
    Scores,
}
