//! The families that can be loaded, and the only place that knows them by name.
//!
//! Sizes come from the checkpoint; here stands what each family does differently from the plain
//! decoder. Which tensors a file happens to have decides as little as possible, and whatever is
//! concluded from one is then demanded of all (see `claims`). A key that a family does not take from
//! the checkpoint's demands is refused, unless it asks for nothing.

use crate::arch::{
    Activation, ArchSpec, Biases, FeedForward, GateUp, Mixer, NormPlacement, Positions,
    Projections, QueryKeyNorm, Rope, RopePairing, SharedWeight, Shares, Sinks,
};
use crate::checkpoint::{Checkpoint, Has};
use crate::claims::{LayerPart, TensorRole, check_claims};
use crate::demands::{Demands, WindowLayers};
use crate::gguf::Metadata;
use crate::load_error::{LoadError, LoadFault};
use crate::sizes::{Sizes, vocabulary_rows};
use crate::weights_file::{RowOrder, WeightsFile};

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

/// What `config.json` calls a stretch by bands.
pub(crate) const BANDS: &str = "llama3";

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
