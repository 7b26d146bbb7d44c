//! The exact tensors a spec consists of. A file with one fewer, one more or another shape is not
//! that model.

use std::collections::HashSet;

use crate::arch::{
    ArchSpec, Attention, Biases, Experts, FeedForward, GateUp, Gated, Head, LayerSpec, Mixer,
    NormPlacement, Positions, Projections, QueryKeyNorm, RopeStretch, SharedWeight, Sinks,
};
use crate::load_error::{LoadError, LoadFault};
use crate::weights_file::WeightsFile;

/// What a tensor is to the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// One row a token: `[vocabulary, hidden]`.
    Embedding,
    /// The norm before the head: `[hidden]`.
    HeadNorm,
    /// Hidden state to logits: `[vocabulary, hidden]`. Absent when tied.
    Head,
    /// Divides the rotary angle of each pair: `[rotated_dims / 2]`.
    RopeFactors,
    /// The same, for sequences longer than the context the model first learned.
    LongRopeFactors,
    /// The same, for sequences no longer than that.
    ShortRopeFactors,
    /// A part of one layer.
    Layer(usize, LayerPart),
}

/// What a tensor is to its layer. Matrices are `[out, in]`: a row makes one output element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerPart {
    /// The norm before attention: `[hidden]`.
    AttentionNorm,
    /// Query, key and value as one: `[query_dim + 2 * kv_dim, hidden]`.
    QueryKeyValue,
    /// `[query_dim, hidden]`.
    Query,
    /// `[query_dim]`.
    QueryBias,
    /// `[kv_dim, hidden]`.
    Key,
    /// `[kv_dim]`.
    KeyBias,
    /// `[kv_dim, hidden]`.
    Value,
    /// `[kv_dim]`.
    ValueBias,
    /// The norm of the query: `[head_dim]` or `[query_dim]`.
    QueryNorm,
    /// The norm of the key: `[head_dim]` or `[kv_dim]`.
    KeyNorm,
    /// Heads back to the residual stream: `[hidden, query_dim]`.
    AttentionOutput,
    /// `[hidden]`.
    AttentionOutputBias,
    /// Scores of nothing: `[query_heads]`.
    AttentionSinks,
    /// The norm after attention: `[hidden]`.
    AttentionPostNorm,
    /// The norm before the feed-forward part: `[hidden]`.
    FeedForwardNorm,
    /// `[feed_forward, hidden]`.
    Gate,
    /// `[feed_forward, hidden]`, or twice as many rows where it holds the gate, too.
    Up,
    /// `[hidden, feed_forward]`.
    Down,
    /// What chooses experts: `[experts, hidden]`.
    Router,
    /// `[experts]`.
    RouterBias,
    /// `[experts, feed_forward, hidden]`.
    ExpertGates,
    /// `[experts, feed_forward]`.
    ExpertGateBiases,
    /// `[experts, feed_forward, hidden]`.
    ExpertUps,
    /// `[experts, feed_forward]`.
    ExpertUpBiases,
    /// `[experts, hidden, feed_forward]`.
    ExpertDowns,
    /// `[experts, hidden]`.
    ExpertDownBiases,
    /// What weighs the shared expert: `[hidden]`.
    SharedRouter,
    /// The shared expert's: `[feed_forward, hidden]`.
    SharedGate,
    /// The shared expert's: `[feed_forward, hidden]`.
    SharedUp,
    /// The shared expert's: `[hidden, feed_forward]`.
    SharedDown,
    /// The norm after the feed-forward part: `[hidden]`.
    FeedForwardPostNorm,
}

impl TensorRole {
    /// The tensor's name in a GGUF file.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Embedding => "token_embd.weight".to_owned(),
            Self::HeadNorm => "output_norm.weight".to_owned(),
            Self::Head => "output.weight".to_owned(),
            Self::RopeFactors => "rope_freqs.weight".to_owned(),
            Self::LongRopeFactors => "rope_factors_long.weight".to_owned(),
            Self::ShortRopeFactors => "rope_factors_short.weight".to_owned(),
            Self::Layer(index, part) => format!("blk.{index}.{}", part.suffix()),
        }
    }
}

impl LayerPart {
    fn suffix(self) -> &'static str {
        match self {
            Self::AttentionNorm => "attn_norm.weight",
            Self::QueryKeyValue => "attn_qkv.weight",
            Self::Query => "attn_q.weight",
            Self::QueryBias => "attn_q.bias",
            Self::Key => "attn_k.weight",
            Self::KeyBias => "attn_k.bias",
            Self::Value => "attn_v.weight",
            Self::ValueBias => "attn_v.bias",
            Self::QueryNorm => "attn_q_norm.weight",
            Self::KeyNorm => "attn_k_norm.weight",
            Self::AttentionOutput => "attn_output.weight",
            Self::AttentionOutputBias => "attn_output.bias",
            Self::AttentionSinks => "attn_sinks.weight",
            Self::AttentionPostNorm => "post_attention_norm.weight",
            Self::FeedForwardNorm => "ffn_norm.weight",
            Self::Gate => "ffn_gate.weight",
            Self::Up => "ffn_up.weight",
            Self::Down => "ffn_down.weight",
            Self::Router => "ffn_gate_inp.weight",
            Self::RouterBias => "ffn_gate_inp.bias",
            Self::ExpertGates => "ffn_gate_exps.weight",
            Self::ExpertGateBiases => "ffn_gate_exps.bias",
            Self::ExpertUps => "ffn_up_exps.weight",
            Self::ExpertUpBiases => "ffn_up_exps.bias",
            Self::ExpertDowns => "ffn_down_exps.weight",
            Self::ExpertDownBiases => "ffn_down_exps.bias",
            Self::SharedRouter => "ffn_gate_inp_shexp.weight",
            Self::SharedGate => "ffn_gate_shexp.weight",
            Self::SharedUp => "ffn_up_shexp.weight",
            Self::SharedDown => "ffn_down_shexp.weight",
            Self::FeedForwardPostNorm => "post_ffw_norm.weight",
        }
    }
}

/// A tensor that must be in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What it is.
    pub role: TensorRole,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
}

impl ArchSpec {
    /// Every tensor the decoder consists of, each once.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let table = [self.vocabulary, self.hidden];
        let mut claims = vec![
            claim(TensorRole::Embedding, &table),
            claim(TensorRole::HeadNorm, &[self.hidden]),
        ];
        match self.head {
            Head::TiedToEmbedding => {}
            Head::Own => claims.push(claim(TensorRole::Head, &table)),
        }
        // All layers share the tensors of factors, so they are claimed by the first that uses them.
        let mut factors = self.layers.iter().map(rope_factors);
        claims.extend(factors.find(|it| !it.is_empty()).into_iter().flatten());
        for (index, layer) in self.layers.iter().enumerate() {
            let parts = layer_parts(layer, self.hidden);
            let in_layer =
                |(part, shape): (_, Vec<usize>)| claim(TensorRole::Layer(index, part), &shape);
            claims.extend(parts.into_iter().map(in_layer));
        }
        claims
    }
}

fn claim(role: TensorRole, shape: &[usize]) -> Claim {
    Claim {
        role,
        shape: shape.to_vec(),
    }
}

fn rope_factors(layer: &LayerSpec) -> Vec<Claim> {
    let Mixer::Attention(attention) = &layer.mixer;
    let Positions::Rotary(rope) = attention.positions else {
        return Vec::new();
    };
    let roles: &[TensorRole] = match rope.stretch {
        RopeStretch::Stored => &[TensorRole::RopeFactors],
        RopeStretch::Long { .. } => &[TensorRole::LongRopeFactors, TensorRole::ShortRopeFactors],
        RopeStretch::None
        | RopeStretch::Linear { .. }
        | RopeStretch::Bands(_)
        | RopeStretch::Yarn(_) => &[],
    };
    let pairs = rope.rotated_dims / 2;
    roles.iter().map(|role| claim(*role, &[pairs])).collect()
}

fn layer_parts(layer: &LayerSpec, hidden: usize) -> Vec<(LayerPart, Vec<usize>)> {
    let before = [LayerPart::AttentionNorm, LayerPart::FeedForwardNorm];
    let after = [LayerPart::AttentionPostNorm, LayerPart::FeedForwardPostNorm];
    let norms = match layer.norms {
        NormPlacement::Before => before.to_vec(),
        NormPlacement::BeforeNamedAfter => vec![before[0], after[0]],
        NormPlacement::After => after.to_vec(),
        NormPlacement::Both => [before, after].concat(),
    };
    let mut parts: Vec<_> = norms.into_iter().map(|it| (it, vec![hidden])).collect();
    match &layer.mixer {
        Mixer::Attention(attention) => parts.extend(attention_parts(attention, hidden)),
    }
    match &layer.feed_forward {
        FeedForward::Gated(gated) => parts.extend(gated_parts(gated, hidden)),
        FeedForward::Experts(experts) => parts.extend(expert_parts(experts, hidden)),
    }
    parts
}

fn gated_parts(gated: &Gated, hidden: usize) -> Vec<(LayerPart, Vec<usize>)> {
    let inner = gated.hidden;
    let mut parts = match gated.gate_up {
        GateUp::Split => vec![
            (LayerPart::Gate, vec![inner, hidden]),
            (LayerPart::Up, vec![inner, hidden]),
        ],
        GateUp::Fused => vec![(LayerPart::Up, vec![2 * inner, hidden])],
    };
    parts.push((LayerPart::Down, vec![hidden, inner]));
    parts
}

fn expert_parts(experts: &Experts, hidden: usize) -> Vec<(LayerPart, Vec<usize>)> {
    let (count, inner) = (experts.count, experts.each.hidden);
    let mut parts = vec![
        (LayerPart::Router, vec![count, hidden]),
        (LayerPart::ExpertGates, vec![count, inner, hidden]),
        (LayerPart::ExpertUps, vec![count, inner, hidden]),
        (LayerPart::ExpertDowns, vec![count, hidden, inner]),
    ];
    if experts.biases == Biases::Present {
        parts.extend([
            (LayerPart::RouterBias, vec![count]),
            (LayerPart::ExpertGateBiases, vec![count, inner]),
            (LayerPart::ExpertUpBiases, vec![count, inner]),
            (LayerPart::ExpertDownBiases, vec![count, hidden]),
        ]);
    }
    if let Some(shared) = experts.shared {
        let inner = shared.gated.hidden;
        parts.extend([
            (LayerPart::SharedGate, vec![inner, hidden]),
            (LayerPart::SharedUp, vec![inner, hidden]),
            (LayerPart::SharedDown, vec![hidden, inner]),
        ]);
        if shared.weight == SharedWeight::Gate {
            parts.push((LayerPart::SharedRouter, vec![hidden]));
        }
    }
    parts
}

fn attention_parts(attention: &Attention, hidden: usize) -> Vec<(LayerPart, Vec<usize>)> {
    let (query_dim, kv_dim) = (attention.query_dim(), attention.kv_dim());
    let mut parts = match attention.projections {
        Projections::Fused => {
            let rows = query_dim + 2 * kv_dim;
            vec![(LayerPart::QueryKeyValue, vec![rows, hidden])]
        }
        Projections::Split | Projections::SplitBiased | Projections::AllBiased => vec![
            (LayerPart::Query, vec![query_dim, hidden]),
            (LayerPart::Key, vec![kv_dim, hidden]),
            (LayerPart::Value, vec![kv_dim, hidden]),
        ],
    };
    if matches!(
        attention.projections,
        Projections::SplitBiased | Projections::AllBiased
    ) {
        parts.extend([
            (LayerPart::QueryBias, vec![query_dim]),
            (LayerPart::KeyBias, vec![kv_dim]),
            (LayerPart::ValueBias, vec![kv_dim]),
        ]);
    }
    let norm_dims = match attention.query_key_norm {
        QueryKeyNorm::None => None,
        QueryKeyNorm::EachHead => Some([attention.head_dim; 2]),
        QueryKeyNorm::AllHeads => Some([query_dim, kv_dim]),
    };
    if let Some([query, key]) = norm_dims {
        parts.push((LayerPart::QueryNorm, vec![query]));
        parts.push((LayerPart::KeyNorm, vec![key]));
    }
    parts.push((LayerPart::AttentionOutput, vec![hidden, query_dim]));
    if attention.projections == Projections::AllBiased {
        parts.push((LayerPart::AttentionOutputBias, vec![hidden]));
    }
    if attention.sinks == Sinks::Learned {
        parts.push((LayerPart::AttentionSinks, vec![attention.query_heads]));
    }
    parts
}

/// Fails unless the file consists of exactly the tensors that `spec` claims.
pub(crate) fn check_claims(spec: &ArchSpec, file: &dyn WeightsFile) -> Result<(), LoadError> {
    let mut claimed = HashSet::new();
    for Claim { role, shape } in spec.claims() {
        let tensor = role.name();
        match file.find_tensor(&tensor) {
            Some(found) if found.shape == shape => claimed.insert(tensor),
            Some(found) => {
                let found = found.shape.clone();
                let fault = LoadFault::TensorShape {
                    tensor,
                    wanted: shape,
                    found,
                };
                return Err(fault.in_file(file.path()));
            }
            None => {
                let fault = LoadFault::TensorMissing {
                    tensor,
                    shape: Some(shape),
                };
                return Err(fault.in_file(file.path()));
            }
        };
    }
    match file.tensors().iter().find(|it| !claimed.contains(&it.name)) {
        None => Ok(()),
        Some(extra) => {
            let (tensor, shape) = (extra.name.clone(), extra.shape.clone());
            Err(LoadFault::TensorUnclaimed { tensor, shape }.in_file(file.path()))
        }
    }
}
