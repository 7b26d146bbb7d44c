//! What an encoder is, as data.

use sconce_domain::TokenCount;
use sconce_kernels::activation::Bend;

pub use super::pooling::Pooling;

/// An encoder's sizes and the few ways in which encoders differ.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSpec {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Elements of a row.
    pub hidden: usize,
    /// How many layers.
    pub layers: usize,
    /// Heads of each layer; they share the row.
    pub heads: usize,
    /// Elements between the two matrices of a feed-forward part.
    pub inner: usize,
    /// What bends those.
    pub bend: Bend,
    /// Keeps a norm of equal elements finite.
    pub norm_epsilon: f32,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the segment table: 2 where texts come in pairs.
    pub segments: usize,
    /// Tokens that a text may have: what the model learned from, which may be less than its positions.
    pub context: TokenCount,
    /// What a text becomes.
    pub output: EncoderOutput,
}

/// What a text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderOutput {
    /// A vector: what its rows have in common.
    Vector(Pooling),
    /// A logit that says how well two texts fit: what cross-encoders give.
    Score,
}
