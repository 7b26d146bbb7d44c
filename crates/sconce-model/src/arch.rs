//! What a decoder is, as data. A new checkpoint is a new value; a new idea is a new variant.
//!
//! Variants that no family here needs are left out until a checkpoint proves them, so one enum has one
//! variant yet: it marks where the next idea goes. Quantization is absent on purpose.

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
    /// Multiplies each embedding (Gemma, Granite).
    pub embedding_scale: f32,
    /// The layers, first to last; never empty.
    pub layers: Vec<LayerSpec>,
    /// What turns the last hidden state into logits.
    pub head: Head,
    /// Multiplies each logit (Granite).
    pub logit_scale: f32,
    /// Keeps each logit softly within these bounds (Gemma 2).
    pub logit_cap: Option<f32>,
}

/// One layer: a mixer and a feed-forward part, each in a residual branch.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// Where the two branches are normalised.
    pub norms: NormPlacement,
    /// Multiplies each branch before it is added (Granite).
    pub residual_scale: f32,
    /// How tokens exchange information.
    pub mixer: Mixer,
    /// What each token does by itself.
    pub feed_forward: FeedForward,
}

/// Where the two residual branches of a layer are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Each branch's input (Llama, Qwen).
    Before,
    /// The same, but files call the second norm the one after attention (gpt-oss).
    BeforeNamedAfter,
    /// Each branch's output (OLMo 2).
    After,
    /// Each branch's input and output (Gemma 2 and 3).
    Both,
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
    /// How queries and keys are normalised.
    pub query_key_norm: QueryKeyNorm,
    /// How positions enter.
    pub positions: Positions,
    /// Which keys a query sees.
    pub mask: Mask,
    /// Multiplies each query-key product before the softmax.
    pub score_scale: f32,
    /// Keeps each scaled product softly within these bounds (Gemma 2).
    pub score_cap: Option<f32>,
    /// Whether attention may go nowhere.
    pub sinks: Sinks,
}

/// Whether attention may go nowhere: to a score that has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sinks {
    /// It may not.
    Absent,
    /// It may, by a score for each query head (gpt-oss).
    Learned,
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
    /// Three matrices, each with a bias, and a bias on what leads back to the stream (gpt-oss).
    AllBiased,
    /// One matrix: rows of the query, then of the key, then of the value (Phi-3).
    Fused,
}

/// How queries and keys are normalised before they rotate, by their root mean square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKeyNorm {
    /// Not at all.
    None,
    /// Each head by itself, all with the same weights (Qwen 3, Gemma 3).
    EachHead,
    /// All heads together (OLMo 2).
    AllHeads,
}

/// How positions enter attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Positions {
    /// Queries and keys are rotated.
    Rotary(Rope),
    /// Not at all (every fourth layer of SmolLM3).
    Absent,
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
    /// Multiplies what rotates: one, but for some stretches.
    pub magnitude: f32,
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
    /// The same factors, where a formula states them (Llama 3.1 outside of GGUF).
    Bands(Bands),
    /// Slow pairs are stretched, fast ones are not. Source: Peng et al. 2023, "YaRN", section 3.2.
    Yarn(Yarn),
    /// Pair `i`'s angle is divided by element `i` of one of two tensors: `rope_factors_short.weight` if
    /// no sequence can be longer than `original_context`, else `rope_factors_long.weight` (Phi-3).
    Long {
        /// The context the model first learned.
        original_context: TokenCount,
    },
}

/// A stretch of the pairs that turned seldom within the context the model first learned, less and less
/// towards those that turned often. Source: Meta 2024, "Llama 3.1", `apply_scaling` of its reference code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bands {
    /// What a stretched pair's angle is divided by; above zero.
    pub factor: f32,
    /// The context the model first learned.
    pub original_context: TokenCount,
    /// Pairs that turned less often than this are stretched in full.
    pub turns_min: f32,
    /// Pairs that turned more often than this are left as they are; above `turns_min`.
    pub turns_max: f32,
}

/// A stretch that depends on how often a pair turned within the context the model first learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Yarn {
    /// What a stretched pair's angle is divided by; above zero.
    pub factor: f32,
    /// The context the model first learned.
    pub original_context: TokenCount,
    /// Pairs that turned more often than this are left as they are.
    pub turns_max: f32,
    /// Pairs that turned less often than this are stretched in full.
    pub turns_min: f32,
}

/// Which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Its own position's and all earlier ones.
    Causal,
    /// The last so many up to its own position's; at least one (Gemma 2, Phi-3).
    Window(usize),
}

/// What each token does by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedForward {
    /// The same for every token (Llama).
    Gated(Gated),
    /// By a few of many experts (Qwen3-MoE).
    Experts(Experts),
}

/// `down(activation(gate(x)) * up(x))`. Source: Shazeer 2020, "GLU Variants", section 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gated {
    /// Width between the matrices.
    pub hidden: usize,
    /// What bends the gate.
    pub activation: Activation,
    /// How the weights of gate and up lie in the checkpoint.
    pub gate_up: GateUp,
}

/// Many gated parts, of which a router chooses a few for each token and weighs their results. Source:
/// Shazeer et al. 2017, "Outrageously Large Neural Networks", section 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// Experts there are.
    pub count: usize,
    /// Experts a token goes to; at most all.
    pub chosen: usize,
    /// What each of them is.
    pub each: Gated,
    /// Between whom the router's weight of one is shared.
    pub shares: Shares,
    /// Whether the router and each expert's matrices have biases.
    pub biases: Biases,
    /// What every token goes through besides.
    pub shared: Option<SharedExpert>,
}

/// Whether matrices have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// None of them (Qwen3-MoE).
    Absent,
    /// All of them (gpt-oss).
    Present,
}

/// Between whom a router's weight of one is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// The chosen experts (Qwen3-MoE, Mixtral).
    OfChosen,
    /// All experts, so that the chosen ones' weights sum to less (Qwen2-MoE, OLMoE).
    OfAll,
}

/// A gated part beside the experts that every token goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedExpert {
    /// What it is.
    pub gated: Gated,
    /// What its result is multiplied with.
    pub weight: SharedWeight,
}

/// What a shared expert's result is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedWeight {
    /// Nothing (Granite-MoE).
    One,
    /// The logistic function of a product with the token's state (Qwen2-MoE).
    Gate,
}

/// How the weights of gate and up lie in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateUp {
    /// Two matrices (Llama).
    Split,
    /// One matrix: rows of the gate, then of up (Phi-3).
    Fused,
}

/// What bends a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)` (Llama, Qwen).
    Silu,
    /// The Gaussian error linear unit, approximated by a hyperbolic tangent (Gemma).
    Gelu,
    /// `x * sigmoid(1.702 x)` of an `x` of at most 7; ups stay within 7 of zero and grow by one
    /// (gpt-oss).
    Clamped,
}

/// What turns the last hidden state into logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The embedding, used once more.
    TiedToEmbedding,
    /// A matrix of its own.
    Own,
}
