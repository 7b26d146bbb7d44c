//! What a decoder is, as data. A new checkpoint is a new value; a new idea is a new variant.
//!
//! Variants that no family here needs are left out until a checkpoint proves them, so some enums
//! have one variant yet: they mark where the next idea goes. Quantization is absent on purpose.

use sconce_domain::TokenCount;

/// A decoder-only transformer: embed, layers, norm, head.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchSpec {
    /// Width of the residual stream, in elements.
    pub hidden: usize,
    /// Rows of the embedding: the tokens there are.
    pub vocabulary: usize,
    /// The longest sequence the model was made for.
    pub context: TokenCount,
    /// Added under the root of each root-mean-square norm.
    pub norm_epsilon: f32,
    /// The layers, first to last; never empty.
    pub layers: Vec<LayerSpec>,
    /// What turns the last hidden state into logits.
    pub head: Head,
}

/// One layer: a mixer and a feed-forward part, each in a residual branch.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// Where the two branches are normalised.
    pub norms: NormPlacement,
    /// How tokens exchange information.
    pub mixer: Mixer,
    /// What each token does by itself.
    pub feed_forward: FeedForward,
}

/// Where the two residual branches of a layer are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Each branch's input (Llama, Qwen 2).
    Before,
}

/// How tokens exchange information. A mixer that is not attention is a new variant and a new file.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixer {
    /// Softmax attention with grouped query heads (Llama, Qwen 2).
    Attention(Attention),
}

/// Softmax attention. `query_heads` is a multiple of `kv_heads`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Heads that ask.
    pub query_heads: usize,
    /// Heads that answer, each for `query_heads / kv_heads` that ask.
    pub kv_heads: usize,
    /// Elements in a head; even.
    pub head_dim: usize,
    /// How query, key and value weights lie in the checkpoint.
    pub projections: Projections,
    /// How positions enter.
    pub rope: Rope,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Multiplies each query-key product before the softmax.
    pub score_scale: f32,
}

impl Attention {
    /// Elements of all query heads together.
    #[must_use]
    pub fn query_dim(&self) -> usize {
        self.query_heads * self.head_dim
    }

    /// Elements of all key heads, or of all value heads, together.
    #[must_use]
    pub fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// How query, key and value weights lie in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projections {
    /// Three matrices (Llama).
    Split,
    /// Three matrices, each with a bias (Qwen 2).
    SplitBiased,
}

/// Rotary positions. Source: Su et al. 2021, "RoFormer", section 3.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Which dimensions rotate together.
    pub pairing: RopePairing,
    /// Pair `i` turns by `base^(-2i / rotated_dims)` radians a position.
    pub base: f32,
    /// The first dimensions of each head that rotate; even, at most `head_dim`.
    pub rotated_dims: usize,
    /// How the angles are changed for contexts longer than the model first learned.
    pub stretch: RopeStretch,
}

/// Which dimensions rotate together. The file format decides, not the family alone: GGUF permutes
/// Llama's query and key rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// Dimension `i` with `i + rotated_dims / 2` (Qwen 2).
    Halves,
    /// Dimension `2i` with `2i + 1` (Llama in GGUF).
    Neighbours,
}

/// How rotary angles are changed for longer contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeStretch {
    /// Not at all.
    None,
    /// Positions are divided by `factor`.
    Linear {
        /// Above zero.
        factor: f32,
    },
    /// Pair `i`'s angle is divided by element `i` of tensor `rope_freqs.weight` (Llama 3.1).
    Stored,
}

/// Which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Its own position's and all earlier ones.
    Causal,
}

/// What each token does by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))`. Source: Shazeer 2020, "GLU Variants", section 2.
    Gated {
        /// Width between the matrices.
        hidden: usize,
        /// What bends the gate.
        activation: Activation,
    },
}

/// What bends a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)` (Llama, Qwen 2).
    Silu,
}

/// What turns the last hidden state into logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The embedding, used once more.
    TiedToEmbedding,
    /// A matrix of its own.
    Own,
}
