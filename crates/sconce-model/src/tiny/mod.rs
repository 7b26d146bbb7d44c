//! Tiny random checkpoints, written in milliseconds: whole GGUF files for tests to load and serve.
//!
//! Everything follows from an `ArchSpec`: the metadata says it, the tensors are its claims. So a
//! new variant of the spec has a checkpoint of its own as soon as it can be claimed.

mod lexicon;
mod randomness;
mod storing;
mod writer;

use std::path::Path;

use candle_core::Result;
use candle_core::quantized::gguf_file::Value;
use sconce_domain::TokenCount;

use crate::arch::{ArchSpec, FeedForward, Mixer, RopeStretch};
use crate::claims::{Claim, LayerPart, TensorRole};
use crate::families::spec_of;
use crate::gguf::TensorType;
use crate::sizes::Sizes;
use lexicon::Lexicon;
use randomness::Dice;
pub use writer::{TinyTensor, gguf_bytes};

/// A checkpoint to be written. Change the fields first where a test needs another one.
#[derive(Debug, Clone)]
pub struct TinyCheckpoint {
    /// The architecture's name in the file.
    pub family: String,
    /// What the decoder is; its vocabulary must stay as it is.
    pub spec: ArchSpec,
    /// How the matrices are stored; norms and biases are always F32.
    pub weights: TensorType,
    /// Decides every weight.
    pub seed: u64,
}

impl TinyCheckpoint {
    /// Two layers of four query heads and two key heads. The hidden size is 64, or 256 where the
    /// blocks of `weights` are so long; the head is tied; the context is 512 tokens.
    ///
    /// # Panics
    /// If `family` is none of those that can be loaded.
    #[must_use]
    pub fn new(family: &str, weights: TensorType) -> Self {
        let hidden = weights.block_elements().max(64);
        let sizes = Sizes {
            hidden,
            vocabulary: Lexicon::new().tokens.len(),
            context: TokenCount(512),
            layers: 2,
            query_heads: 4,
            kv_heads: 2,
            head_dim: hidden / 4,
            feed_forward: 2 * hidden,
            norm_epsilon: 1e-5,
            rope_base: 10_000.0,
            rotated_dims: hidden / 4,
            rope_stretch: RopeStretch::None,
        };
        match spec_of(family, &sizes, &|_| false) {
            Ok(spec) => Self {
                family: family.to_owned(),
                spec,
                weights,
                seed: 1,
            },
            Err(fault) => panic!("a tiny checkpoint {fault}"),
        }
    }

    /// Writes the checkpoint to `path`.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(std::fs::write(path, self.to_bytes()?)?)
    }

    /// The checkpoint as a file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(gguf_bytes(&self.metadata(), &self.tensors()?))
    }

    /// The file's keys and values.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let mut entries = vec![("general.architecture".to_owned(), text(&self.family))];
        let sizes = self
            .sizes()
            .map(|(name, value)| (format!("{}.{name}", self.family), value));
        entries.extend(sizes);
        entries.extend(self.stretch());
        entries.extend(Lexicon::new().metadata());
        entries
    }

    fn sizes(&self) -> [(&'static str, Value); 9] {
        let Mixer::Attention(attention) = &self.spec.layers[0].mixer;
        let FeedForward::Gated {
            hidden: feed_forward,
            ..
        } = self.spec.layers[0].feed_forward;
        [
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
            ("rope.freq_base", Value::F32(attention.rope.base)),
        ]
    }

    fn stretch(&self) -> Vec<(String, Value)> {
        let Mixer::Attention(attention) = &self.spec.layers[0].mixer;
        let key = |name: &str| format!("{}.rope.{name}", self.family);
        let mut entries = vec![(key("dimension_count"), number(attention.rope.rotated_dims))];
        if let RopeStretch::Linear { factor } = attention.rope.stretch {
            entries.push((key("scaling.type"), text("linear")));
            entries.push((key("scaling.factor"), Value::F32(factor)));
        }
        entries
    }

    /// The file's tensors, one for each claim of the spec.
    pub fn tensors(&self) -> Result<Vec<TinyTensor>> {
        let lexicon = Lexicon::new();
        let make = |claim: Claim| {
            let name = claim.role.name();
            let mut dice = Dice::new(self.seed, &name);
            let mut values = weights(&claim, &mut dice);
            if matches!(claim.role, TensorRole::Embedding | TensorRole::Head) {
                hush(&mut values, &lexicon, self.spec.hidden);
            }
            let kind = if claim.shape.len() == 1 {
                TensorType::F32
            } else {
                self.weights
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

/// Weights of such a size that signals neither die nor grow from layer to layer, and that logits
/// spread by about three: a greedy choice is then rarely a tie.
fn weights(claim: &Claim, dice: &mut Dice) -> Vec<f32> {
    let columns = claim.shape.last().copied().unwrap_or(1) as f32;
    let (middle, deviation) = match claim.role {
        TensorRole::Embedding => (0.0, 0.4),
        TensorRole::Head => (0.0, 3.0 / columns.sqrt()),
        TensorRole::RopeFactors => (4.0, 1.5),
        TensorRole::HeadNorm
        | TensorRole::Layer(_, LayerPart::AttentionNorm | LayerPart::FeedForwardNorm) => (1.0, 0.1),
        TensorRole::Layer(_, _) if claim.shape.len() == 1 => (0.0, 0.2),
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
