//! Tiny random checkpoints, written in milliseconds: whole GGUF files, and an encoder's folder, for
//! tests to load and serve.
//!
//! Everything follows from an `ArchSpec`: the metadata says it, the tensors are its claims. So a
//! new variant of the spec has a checkpoint of its own as soon as it can be claimed.

mod encoder;
mod lexicon;
mod randomness;
mod safetensors;
mod storing;
mod writer;

use std::path::Path;

use candle_core::quantized::gguf_file::Value;

use crate::arch::{ArchSpec, Attention, FeedForward, Mask, Mixer, Positions, RopeStretch};
use crate::claims::{Claim, LayerPart, TensorRole};
use crate::families::spec_of;
use crate::gguf::{Metadata, TensorType};
use crate::load_error::{LoadError, LoadFault};
use crate::weights_file::RowOrder;
pub use encoder::TinyEncoder;
use lexicon::Lexicon;
use randomness::Dice;
pub use safetensors::safetensors_bytes;
pub use writer::{TinyTensor, gguf_bytes};

/// A checkpoint to be written. Change the fields first where a test needs another one.
#[derive(Debug, Clone)]
pub struct TinyCheckpoint {
    /// The architecture's name in the file.
    pub family: String,
    /// What the decoder is; its vocabulary must stay as it is.
    pub spec: ArchSpec,
    /// Keys without the family's prefix, and values, that a file of the family has beside its sizes.
    pub extras: Vec<(&'static str, Value)>,
    /// How the matrices are stored; norms and biases are always F32.
    pub weights: TensorType,
    /// How the experts' matrices are stored.
    pub expert_weights: TensorType,
    /// Decides every weight.
    pub seed: u64,
}

impl TinyCheckpoint {
    /// Two layers of four query heads and two key heads; eight experts where the family has experts. The hidden size is 64, or 256 where the
    /// blocks of `weights` are so long; the head is tied; the context is 512 tokens.
    ///
    /// # Panics
    /// If `family` is none of those that can be loaded.
    #[must_use]
    pub fn new(family: &str, weights: TensorType) -> Self {
        Self::with_extras(family, weights, 2, Vec::new())
    }

    /// The same with so many layers, of which those that have a window in the family's way see `window`
    /// positions.
    ///
    /// # Panics
    /// If `family` is none of those that can be loaded, or has no windows.
    #[must_use]
    pub fn with_window(family: &str, layers: usize, window: u32) -> Self {
        let extras = vec![("attention.sliding_window", Value::U32(window))];
        Self::with_extras(family, TensorType::F32, layers, extras)
    }

    /// The same with so many layers and with keys that the family reads beside its sizes.
    ///
    /// # Panics
    /// If `family` is none of those that can be loaded, or refuses a key.
    #[must_use]
    pub fn with_extras(
        family: &str,
        weights: TensorType,
        layers: usize,
        extras: Vec<(&'static str, Value)>,
    ) -> Self {
        let hidden = weights.block_elements().max(64);
        let mut entries = sizes(hidden, layers);
        entries.extend(extras.clone());
        let mut spec = described(family, entries.clone());
        if spec.as_ref().is_err_and(asks_for_experts) {
            entries.extend(expert_sizes(hidden));
            spec = described(family, entries);
        }
        match spec {
            Ok(spec) => Self {
                family: family.to_owned(),
                spec,
                extras,
                weights,
                expert_weights: weights,
                seed: 1,
            },
            Err(error) => panic!("a tiny checkpoint is refused: {error}"),
        }
    }

    /// Writes the checkpoint to `path`.
    pub fn write(&self, path: impl AsRef<Path>) -> candle_core::Result<()> {
        Ok(std::fs::write(path, self.to_bytes()?)?)
    }

    /// The checkpoint as a file's bytes.
    pub fn to_bytes(&self) -> candle_core::Result<Vec<u8>> {
        Ok(gguf_bytes(&self.metadata(), &self.tensors()?))
    }

    /// The file's keys and values.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let mut entries = vec![("general.architecture".to_owned(), text(&self.family))];
        let is_extra = |name: &str| self.extras.iter().any(|(it, _)| *it == name);
        let mut own = self.sizes();
        own.retain(|(name, _)| !is_extra(name));
        own.extend(self.extras.clone());
        let own = own.into_iter();
        entries.extend(own.map(|(name, value)| (format!("{}.{name}", self.family), value)));
        entries.extend(Lexicon::new().metadata());
        entries
    }

    /// The sizes as the spec has them now.
    fn sizes(&self) -> Vec<(&'static str, Value)> {
        let Mixer::Attention(attention) = &self.spec.layers[0].mixer;
        let feed_forward = match &self.spec.layers[0].feed_forward {
            FeedForward::Gated(gated) => gated.hidden,
            FeedForward::Experts(experts) => experts.each.hidden,
        };
        let mut entries = vec![
            ("block_count", number(self.spec.layers.len())),
            ("context_length", Value::U32(self.spec.context.0)),
            ("embedding_length", number(self.spec.hidden)),
            ("feed_forward_length", number(feed_forward)),
            ("attention.head_count", number(attention.query_heads)),
            ("attention.head_count_kv", number(attention.kv_heads)),
            ("attention.key_length", number(attention.head_dim)),
            (
                "attention.layer_norm_rms_epsilon",
                Value::F32(self.spec.norm_epsilon),
            ),
        ];
        entries.extend(self.experts());
        entries.extend(self.rope());
        entries
    }

    fn experts(&self) -> Vec<(&'static str, Value)> {
        let FeedForward::Experts(experts) = &self.spec.layers[0].feed_forward else {
            return Vec::new();
        };
        let mut entries = vec![
            ("expert_count", number(experts.count)),
            ("expert_used_count", number(experts.chosen)),
            ("expert_feed_forward_length", number(experts.each.hidden)),
        ];
        let shared = experts.shared.map(|it| number(it.gated.hidden));
        entries.extend(shared.map(|it| ("expert_shared_feed_forward_length", it)));
        entries
    }

    /// The rope of a layer without a window, if there is one: where some layers have a window, the
    /// others' rope is stated.
    fn rope(&self) -> Vec<(&'static str, Value)> {
        let attentions = || {
            self.spec.layers.iter().map(|layer| {
                let Mixer::Attention(attention) = &layer.mixer;
                attention
            })
        };
        let rotary = |attention: &Attention| match attention.positions {
            Positions::Rotary(rope) => Some(rope),
            Positions::Absent => None,
        };
        let unbounded = attentions()
            .filter(|it| it.mask == Mask::Causal)
            .find_map(rotary);
        let Some(rope) = unbounded.or_else(|| attentions().find_map(rotary)) else {
            return Vec::new();
        };
        let mut entries = vec![
            ("rope.freq_base", Value::F32(rope.base)),
            ("rope.dimension_count", number(rope.rotated_dims)),
        ];
        if let RopeStretch::Linear { factor } = rope.stretch {
            entries.push(("rope.scaling.type", text("linear")));
            entries.push(("rope.scaling.factor", Value::F32(factor)));
        }
        entries
    }

    /// The file's tensors, one for each claim of the spec.
    pub fn tensors(&self) -> candle_core::Result<Vec<TinyTensor>> {
        let lexicon = Lexicon::new();
        let make = |claim: Claim| {
            let name = claim.role.name();
            let mut dice = Dice::new(self.seed, &name);
            let mut values = weights(&claim, &mut dice);
            if matches!(claim.role, TensorRole::Embedding | TensorRole::Head) {
                hush(&mut values, &lexicon, self.spec.hidden);
            }
            let kind = match claim.shape.len() {
                1 => TensorType::F32,
                _ if is_small(claim.role) => TensorType::F32,
                2 => self.weights,
                _ => self.expert_weights,
            };
            let bytes = storing::stored(values, kind)?;
            let shape = claim.shape;
            Ok(TinyTensor {
                name,
                shape,
                kind,
                bytes,
            })
        };
        self.spec.claims().into_iter().map(make).collect()
    }
}

fn is_bias(role: TensorRole) -> bool {
    matches!(
        role,
        TensorRole::Layer(
            _,
            LayerPart::ExpertGateBiases | LayerPart::ExpertUpBiases | LayerPart::ExpertDownBiases
        )
    )
}

/// What is stored without loss in every file.
fn is_small(role: TensorRole) -> bool {
    is_bias(role) || matches!(role, TensorRole::Layer(_, LayerPart::Router))
}

/// What `family` is with these keys, and without any tensor that could tell more.
fn described(family: &str, entries: Vec<(&'static str, Value)>) -> Result<ArchSpec, LoadError> {
    let entries = entries
        .into_iter()
        .map(|(name, value)| (format!("{family}.{name}"), value));
    let metadata = Metadata::of(Path::new("tiny.gguf"), entries);
    let rows = (Lexicon::new().tokens.len(), RowOrder::Converted);
    spec_of(family, &metadata, rows, &|_| false)
}

fn asks_for_experts(error: &LoadError) -> bool {
    matches!(&error.fault, LoadFault::KeyMissing { key, .. } if key.ends_with(".expert_count"))
}

fn expert_sizes(hidden: usize) -> Vec<(&'static str, Value)> {
    vec![
        ("expert_count", Value::U32(8)),
        ("expert_used_count", Value::U32(3)),
        ("expert_feed_forward_length", number(hidden)),
    ]
}

/// The sizes that a checkpoint begins with.
fn sizes(hidden: usize, layers: usize) -> Vec<(&'static str, Value)> {
    vec![
        ("block_count", number(layers)),
        ("context_length", Value::U32(512)),
        ("embedding_length", number(hidden)),
        ("feed_forward_length", number(2 * hidden)),
        ("attention.head_count", Value::U32(4)),
        ("attention.head_count_kv", Value::U32(2)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
    ]
}

/// Weights of such a size that signals neither die nor grow from layer to layer, and that logits
/// spread by about three: a greedy choice is then rarely a tie.
fn weights(claim: &Claim, dice: &mut Dice) -> Vec<f32> {
    let columns = claim.shape.last().copied().unwrap_or(1) as f32;
    let (middle, deviation) = match claim.role {
        TensorRole::Embedding => (0.0, 0.4),
        TensorRole::Head => (0.0, 3.0 / columns.sqrt()),
        TensorRole::RopeFactors => (4.0, 1.5),
        TensorRole::LongRopeFactors => (6.0, 2.0),
        TensorRole::ShortRopeFactors => (1.5, 0.2),
        TensorRole::HeadNorm => (1.0, 0.1),
        TensorRole::Layer(
            _,
            LayerPart::AttentionNorm
            | LayerPart::AttentionPostNorm
            | LayerPart::FeedForwardNorm
            | LayerPart::FeedForwardPostNorm
            | LayerPart::QueryNorm
            | LayerPart::KeyNorm,
        ) => (1.0, 0.1),
        TensorRole::Layer(_, LayerPart::AttentionSinks) => (1.0, 1.0),
        TensorRole::Layer(_, _) if claim.shape.len() == 1 || is_bias(claim.role) => (0.0, 0.2),
        TensorRole::Layer(_, _) => (0.0, 1.5 / columns.sqrt()),
    };
    let count = claim.shape.iter().product();
    (0..count)
        .map(|_| middle + deviation * dice.deviate())
        .collect()
}

/// Makes the rows small whose tokens are no readable text by themselves, so that a random model
/// rarely ends its answer or splits a character.
fn hush(values: &mut [f32], lexicon: &Lexicon, hidden: usize) {
    for (token, row) in values.chunks_mut(hidden).enumerate() {
        if !lexicon.is_readable(token) {
            row.iter_mut().for_each(|it| *it *= 0.01);
        }
    }
}

fn number(size: usize) -> Value {
    Value::U32(u32::try_from(size).unwrap_or(u32::MAX))
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}
