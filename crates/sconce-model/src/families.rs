//! The families that can be loaded, and the only place that knows them by name.
//!
//! Sizes come from the checkpoint; here stands what each family does differently from the plain
//! decoder. Which tensors a file happens to have decides as little as possible, and whatever is
//! concluded from one is then demanded of all (see `claims`). A key that a family does not take from
//! the checkpoint's demands is refused, unless it asks for nothing.

use crate::arch::{
    Activation, ArchSpec, Attention, Biases, Experts, FeedForward, GateUp, Gated, Head, LayerSpec,
    Mask, Mixer, NormPlacement, Positions, Projections, QueryKeyNorm, Rope, RopePairing,
    RopeStretch, SharedExpert, SharedWeight, Shares, Sinks, Yarn,
};
use crate::claims::{LayerPart, TensorRole, check_claims};
use crate::demands::{Demands, WindowLayers};
use crate::gguf::Metadata;
use crate::load_error::{LoadError, LoadFault};
use crate::sizes::{Sizes, vocabulary_rows};
use crate::weights_file::{RowOrder, WeightsFile};

/// Whether the checkpoint has a tensor.
type Has<'f> = &'f dyn Fn(TensorRole) -> bool;
type Describe = fn(&mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault>;

const FAMILIES: [(&str, Describe); 15] = [
    ("gemma", gemma),
    ("gemma2", gemma2),
    ("gemma3", gemma3),
    ("gpt-oss", gpt_oss),
    ("granite", granite),
    ("granitemoe", granite_moe),
    ("llama", llama),
    ("olmo2", olmo2),
    ("olmoe", olmoe),
    ("phi3", phi3),
    ("qwen2", qwen2),
    ("qwen2moe", qwen2_moe),
    ("qwen3", qwen3),
    ("qwen3moe", qwen3_moe),
    ("smollm3", smollm3),
];

/// What an encoder's file holds beside the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderHead {
    /// Nothing that is needed: rows are pooled.
    None,
    /// A pooler and a classifier.
    Classifier,
}

/// What an encoder's configuration means by its family and by the class that wrote it.
pub(crate) fn encoder_head(family: &str, class: Option<&str>) -> Result<EncoderHead, LoadFault> {
    let unknown = |found: &str, known: &str| LoadFault::UnknownFamily {
        found: found.to_owned(),
        known: known.to_owned(),
    };
    if family != "bert" {
        return Err(unknown(family, "bert, for encoders"));
    }
    match class {
        None | Some("BertModel") => Ok(EncoderHead::None),
        Some("BertForSequenceClassification") => Ok(EncoderHead::Classifier),
        Some(other) => Err(unknown(
            other,
            "BertModel and BertForSequenceClassification, for encoders",
        )),
    }
}

/// The families of folders with `config.json`, by its `model_type`.
const MODEL_TYPES: [(&str, &str); 4] = [
    ("llama", "llama"),
    ("mistral", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
];

/// The family of a folder whose `config.json` states this `model_type`.
pub(crate) fn family_of_model_type(model_type: &str) -> Result<&'static str, LoadFault> {
    let found = MODEL_TYPES.iter().find(|(name, _)| *name == model_type);
    found
        .map(|(_, family)| *family)
        .ok_or_else(|| LoadFault::UnknownFamily {
            found: model_type.to_owned(),
            known: MODEL_TYPES.map(|(name, _)| name).join(", "),
        })
}

/// What a file says about its decoder.
struct Checkpoint<'f> {
    family: &'f str,
    row_order: RowOrder,
    sizes: Sizes,
    demands: Demands,
    has: Has<'f>,
}

/// What the file's decoder is. Every tensor of the file is claimed by the spec, and every tensor
/// the spec claims is in the file with the right shape.
pub fn spec_for(file: &dyn WeightsFile) -> Result<ArchSpec, LoadError> {
    let has = |role: TensorRole| file.find_tensor(&role.name()).is_some();
    let family = file.family()?;
    find(family).map_err(|fault| fault.in_file(file.path()))?;
    let rows = (vocabulary_rows(file)?, file.row_order());
    let spec = spec_of(family, file.metadata(), rows, &has)?;
    check_claims(&spec, file)?;
    Ok(spec)
}

/// What a decoder of `family` is with this metadata, these tensors and so many rows of embedding.
pub(crate) fn spec_of(
    family: &str,
    metadata: &Metadata,
    (vocabulary, row_order): (usize, RowOrder),
    has: Has<'_>,
) -> Result<ArchSpec, LoadError> {
    let in_file = |fault: LoadFault| fault.in_file(metadata.file());
    let describe = find(family).map_err(in_file)?;
    let mut checkpoint = Checkpoint {
        family,
        row_order,
        sizes: Sizes::read(metadata, family, vocabulary)?,
        demands: Demands::read(metadata, family)?,
        has,
    };
    let spec = describe(&mut checkpoint).map_err(in_file)?;
    checkpoint.demands.refuse_what_is_left().map_err(in_file)?;
    Ok(spec)
}

fn find(family: &str) -> Result<Describe, LoadFault> {
    let found = FAMILIES.iter().find(|(name, _)| *name == family);
    found
        .map(|(_, describe)| *describe)
        .ok_or_else(|| LoadFault::UnknownFamily {
            found: family.to_owned(),
            known: FAMILIES.map(|(name, _)| name).join(", "),
        })
}

/// Llama, Mistral and, with experts, Mixtral. GGUF permutes the query and key rows so that neighbours rotate. Files of this
/// name may have biases (InternLM) and per-frequency factors (Llama 3.1); no metadata key says so. A
/// window, where one is stated (Mistral 7B v0.1), is that of every layer.
fn llama(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Neighbours)?;
    if (checkpoint.has)(TensorRole::Layer(0, LayerPart::QueryBias)) {
        attention.projections = Projections::SplitBiased;
    }
    attention.mask = checkpoint.mask(None)?;
    let mut spec = checkpoint.stack(&attention);
    if checkpoint.sizes.experts.is_some() {
        checkpoint.put_experts(&mut spec, Shares::OfChosen, None)?;
    }
    Ok(spec)
}

/// The plain decoder with biases on query, key and value.
fn qwen2(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.projections = Projections::SplitBiased;
    Ok(checkpoint.stack(&attention))
}

/// The plain decoder with normalised query and key heads.
fn qwen3(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.query_key_norm = QueryKeyNorm::EachHead;
    Ok(checkpoint.stack(&attention))
}

/// Qwen 2 with experts, and one more that all tokens go through as much as its gate says.
fn qwen2_moe(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut spec = qwen2(checkpoint)?;
    let shared = checkpoint.shared_expert(SharedWeight::Gate);
    checkpoint.put_experts(&mut spec, Shares::OfAll, shared)?;
    Ok(spec)
}

/// Qwen 3 with experts.
fn qwen3_moe(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut spec = qwen3(checkpoint)?;
    checkpoint.put_experts(&mut spec, Shares::OfChosen, None)?;
    Ok(spec)
}

/// Llama with four scales. Logits are divided by theirs. A rope that was not trained is none at all.
fn granite(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Neighbours)?;
    if checkpoint.demands.rope_finetuned() == Some(false) {
        attention.positions = Positions::Absent;
    }
    let mut spec = checkpoint.stack(&attention);
    let demands = &mut checkpoint.demands;
    spec.embedding_scale = demands.take_above_zero("embedding_scale")?.unwrap_or(1.0);
    spec.logit_scale = demands
        .take_above_zero("logit_scale")?
        .map_or(1.0, f32::recip);
    let residual_scale = demands.take_above_zero("residual_scale")?.unwrap_or(1.0);
    for layer in &mut spec.layers {
        layer.residual_scale = residual_scale;
    }
    Ok(spec)
}

/// Granite with experts, perhaps beside one that all tokens go through.
fn granite_moe(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut spec = granite(checkpoint)?;
    let shared = checkpoint.shared_expert(SharedWeight::One);
    checkpoint.put_experts(&mut spec, Shares::OfChosen, shared)?;
    Ok(spec)
}

/// Branches are normalised after they are computed, queries and keys over all heads. OLMo 3 goes by
/// the same name: three of four layers have a window, and those are not stretched.
fn olmo2(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.query_key_norm = QueryKeyNorm::AllHeads;
    let mut windowed = attention.clone();
    windowed.mask = checkpoint.mask(None)?;
    windowed.positions = Positions::Rotary(checkpoint.unstretched(RopePairing::Halves));
    let mut spec = checkpoint.stack(&attention);
    checkpoint.put_windows(&mut spec, &windowed, WindowLayers::AllButEvery(4));
    for layer in &mut spec.layers {
        layer.norms = NormPlacement::After;
    }
    Ok(spec)
}

/// The plain decoder with experts, and with queries and keys normalised over all heads.
fn olmoe(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.query_key_norm = QueryKeyNorm::AllHeads;
    let mut spec = checkpoint.stack(&attention);
    checkpoint.put_experts(&mut spec, Shares::OfAll, None)?;
    Ok(spec)
}

/// GELU gates, and embeddings as long as the root of their width. The one that norms add to their
/// weights is already in the file's.
fn gemma(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let attention = checkpoint.attention(RopePairing::Halves)?;
    Ok(checkpoint.gelu_stack(&attention))
}

/// Gemma with norms around each branch, soft caps, and a window in every other layer. The largest
/// one scales scores by the width of the stream; only its number of layers tells.
fn gemma2(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    const LAYERS_OF_27B: usize = 46;
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    if checkpoint.sizes.layers == LAYERS_OF_27B {
        attention.score_scale = checkpoint.scale_by_stream();
    }
    attention.score_cap = Some(checkpoint.cap("attn_logit_softcapping", 50.0)?);
    let mut windowed = attention.clone();
    windowed.mask = checkpoint.mask(Some(4096))?;
    let mut spec = checkpoint.gelu_stack(&attention);
    checkpoint.put_windows(&mut spec, &windowed, WindowLayers::AllButEvery(2));
    spec.logit_cap = Some(checkpoint.cap("final_logit_softcapping", 30.0)?);
    for layer in &mut spec.layers {
        layer.norms = NormPlacement::Both;
    }
    Ok(spec)
}

/// Gemma with norms around each branch, normalised heads, and a window in five of six layers, whose
/// rope is neither stretched nor as slow as the others'.
fn gemma3(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    const LAYERS_OF_27B: usize = 62;
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    if checkpoint.sizes.layers == LAYERS_OF_27B {
        attention.score_scale = checkpoint.scale_by_stream();
    }
    attention.query_key_norm = QueryKeyNorm::EachHead;
    let mut windowed = attention.clone();
    windowed.mask = checkpoint.mask(None)?;
    let base = checkpoint.demands.take_above_zero("rope.freq_base_swa")?;
    windowed.positions = Positions::Rotary(Rope {
        base: base.unwrap_or(10_000.0),
        ..checkpoint.unstretched(RopePairing::Halves)
    });
    let mut spec = checkpoint.gelu_stack(&attention);
    checkpoint.put_windows(&mut spec, &windowed, WindowLayers::AllButEvery(6));
    let demands = &mut checkpoint.demands;
    spec.logit_cap = demands.take_above_zero("final_logit_softcapping")?;
    for layer in &mut spec.layers {
        layer.norms = NormPlacement::Both;
    }
    Ok(spec)
}

/// Experts and attention with biases, a sink in each head, and a window in every other layer.
fn gpt_oss(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.projections = Projections::AllBiased;
    attention.sinks = Sinks::Learned;
    let mut windowed = attention.clone();
    windowed.mask = checkpoint.mask(None)?;
    let mut spec = checkpoint.stack(&attention);
    checkpoint.put_windows(&mut spec, &windowed, WindowLayers::AllButEvery(2));
    checkpoint.put_experts(&mut spec, Shares::OfChosen, None)?;
    for layer in &mut spec.layers {
        layer.norms = NormPlacement::BeforeNamedAfter;
        if let FeedForward::Experts(experts) = &mut layer.feed_forward {
            experts.biases = Biases::Present;
            experts.each.activation = Activation::Clamped;
        }
    }
    Ok(spec)
}

/// The plain decoder with its matrices fused, and a window in every layer where one is stated.
fn phi3(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = checkpoint.attention(RopePairing::Halves)?;
    attention.projections = Projections::Fused;
    attention.mask = checkpoint.mask(None)?;
    let mut spec = checkpoint.stack(&attention);
    for layer in &mut spec.layers {
        if let FeedForward::Gated(gated) = &mut layer.feed_forward {
            gated.gate_up = GateUp::Fused;
        }
    }
    Ok(spec)
}

/// Llama without positions in every fourth layer.
fn smollm3(checkpoint: &mut Checkpoint<'_>) -> Result<ArchSpec, LoadFault> {
    let attention = checkpoint.attention(RopePairing::Neighbours)?;
    let mut spec = checkpoint.stack(&attention);
    for layer in spec.layers.iter_mut().skip(3).step_by(4) {
        let Mixer::Attention(attention) = &mut layer.mixer;
        attention.positions = Positions::Absent;
    }
    Ok(spec)
}

/// A gated part as most families have it.
fn gated(hidden: usize) -> Gated {
    Gated {
        hidden,
        activation: Activation::Silu,
        gate_up: GateUp::Split,
    }
}

impl Checkpoint<'_> {
    /// The common ground: rotary positions, grouped queries, scores over the root of the head's size
    /// unless another scale is stated.
    fn attention(&mut self, pairing: RopePairing) -> Result<Attention, LoadFault> {
        let scale = self.demands.take_above_zero("attention.scale")?;
        Ok(Attention {
            query_heads: self.sizes.query_heads,
            kv_heads: self.sizes.kv_heads,
            head_dim: self.sizes.head_dim,
            projections: Projections::Split,
            query_key_norm: QueryKeyNorm::None,
            positions: Positions::Rotary(self.rope(pairing)?),
            mask: Mask::Causal,
            score_scale: scale.unwrap_or((self.sizes.head_dim as f32).sqrt().recip()),
            score_cap: None,
            sinks: Sinks::Absent,
        })
    }

    fn unstretched(&self, pairing: RopePairing) -> Rope {
        Rope {
            pairing: match self.row_order {
                RowOrder::Converted => pairing,
                RowOrder::Original => RopePairing::Halves,
            },
            base: self.sizes.rope_base,
            rotated_dims: self.sizes.rotated_dims,
            magnitude: 1.0,
            stretch: RopeStretch::None,
        }
    }

    /// The rope as metadata and stored factors have it together.
    fn rope(&mut self, pairing: RopePairing) -> Result<Rope, LoadFault> {
        let stated = self.sizes.rope_stretch;
        let original_context = self.sizes.original_context.unwrap_or(self.sizes.context);
        let stored = if (self.has)(TensorRole::LongRopeFactors) {
            Some(RopeStretch::Long { original_context })
        } else {
            (self.has)(TensorRole::RopeFactors).then_some(RopeStretch::Stored)
        };
        let stretch = match (stored, stated) {
            (None, stated) => stated,
            (Some(stored), RopeStretch::None) => stored,
            (Some(stored), stated) if stored == stated => stored,
            (Some(_), stated) => return Err(self.two_stretches(stated)),
        };
        let factor = self.demands.take_above_zero("rope.scaling.attn_factor")?;
        let magnitude = match stretch {
            // Source: Peng et al. 2023, "YaRN", equation 22.
            RopeStretch::Yarn(Yarn { factor, .. }) if factor > 1.0 => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        };
        Ok(Rope {
            magnitude: magnitude * factor.unwrap_or(1.0),
            stretch,
            ..self.unstretched(pairing)
        })
    }

    fn two_stretches(&self, stated: RopeStretch) -> LoadFault {
        let (name, found) = match stated {
            RopeStretch::Linear { factor } => ("rope.scaling.factor", factor.to_string()),
            _ => ("rope.scaling.type", "stated".to_owned()),
        };
        LoadFault::Unsupported {
            key: format!("{}.{name}", self.family),
            found: format!("{found} beside factors stored as a tensor"),
        }
    }

    /// The window that is stated, or `default`.
    fn mask(&mut self, default: Option<usize>) -> Result<Mask, LoadFault> {
        let stated = self.demands.take_above_zero("attention.sliding_window")?;
        let window = stated.map(|it| it as usize).or(default);
        Ok(window.map_or(Mask::Causal, Mask::Window))
    }

    /// A soft cap that the family always has.
    fn cap(&mut self, name: &str, default: f32) -> Result<f32, LoadFault> {
        Ok(self.demands.take_above_zero(name)?.unwrap_or(default))
    }

    /// What some large models scale scores by: the width of the stream for each head.
    fn scale_by_stream(&self) -> f32 {
        let width = self.sizes.hidden as f32 / self.sizes.query_heads as f32;
        width.sqrt().recip()
    }

    /// Gives the layers that have a window another attention, if there is a window at all.
    fn put_windows(&mut self, spec: &mut ArchSpec, windowed: &Attention, default: WindowLayers) {
        if windowed.mask == Mask::Causal {
            return;
        }
        let layers = self.demands.take_window_layers().unwrap_or(default);
        for (index, layer) in spec.layers.iter_mut().enumerate() {
            if layers.contains(index) {
                layer.mixer = Mixer::Attention(windowed.clone());
            }
        }
    }

    /// Puts experts into every layer. The checkpoint may say itself how their weights are shared.
    fn put_experts(
        &mut self,
        spec: &mut ArchSpec,
        shares: Shares,
        shared: Option<SharedExpert>,
    ) -> Result<(), LoadFault> {
        let Some(sizes) = self.sizes.experts else {
            return Err(LoadFault::KeyMissing {
                key: self.demands.key("expert_count"),
                wanted: "the number of experts",
            });
        };
        self.demands.take("expert_count");
        let shares = match self.demands.expert_weights_norm() {
            None => shares,
            Some(true) => Shares::OfChosen,
            Some(false) => Shares::OfAll,
        };
        for layer in &mut spec.layers {
            layer.feed_forward = FeedForward::Experts(Experts {
                count: sizes.count,
                chosen: sizes.chosen,
                each: gated(sizes.feed_forward),
                shares,
                biases: Biases::Absent,
                shared,
            });
        }
        Ok(())
    }

    /// The expert that all tokens go through, if there is one.
    fn shared_expert(&mut self, weight: SharedWeight) -> Option<SharedExpert> {
        self.demands.take("expert_shared_feed_forward_length");
        let hidden = self.sizes.experts?.shared_feed_forward?;
        let gated = gated(hidden);
        Some(SharedExpert { gated, weight })
    }

    /// The same layer all the way up: normalised before each branch, then a gated feed-forward part.
    fn stack(&self, attention: &Attention) -> ArchSpec {
        let layer = LayerSpec {
            norms: NormPlacement::Before,
            residual_scale: 1.0,
            mixer: Mixer::Attention(attention.clone()),
            feed_forward: FeedForward::Gated(gated(self.sizes.feed_forward)),
        };
        ArchSpec {
            hidden: self.sizes.hidden,
            vocabulary: self.sizes.vocabulary,
            context: self.sizes.context,
            norm_epsilon: self.sizes.norm_epsilon,
            embedding_scale: 1.0,
            layers: vec![layer; self.sizes.layers],
            head: if (self.has)(TensorRole::Head) {
                Head::Own
            } else {
                Head::TiedToEmbedding
            },
            logit_scale: 1.0,
            logit_cap: None,
        }
    }

    /// The same with GELU gates and embeddings as long as the root of their width.
    fn gelu_stack(&self, attention: &Attention) -> ArchSpec {
        let mut spec = self.stack(attention);
        spec.embedding_scale = (self.sizes.hidden as f32).sqrt();
        for layer in &mut spec.layers {
            if let FeedForward::Gated(gated) = &mut layer.feed_forward {
                gated.activation = Activation::Gelu;
            }
        }
        spec
    }
}
