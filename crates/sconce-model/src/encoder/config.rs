//! The JSON beside an encoder's weights: what is honoured of it, and what is refused by name.

use std::collections::BTreeMap;
use std::path::Path;

use sconce_domain::TokenCount;
use sconce_kernels::activation::Bend;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::spec::{EncoderOutput, EncoderSpec, Pooling};
use crate::families::{EncoderHead, encoder_head};
use crate::load_error::{LoadError, LoadFault};

/// No size is larger in any encoder, so products of two fit a machine word.
const SIZE_MAX: usize = 1 << 24;

/// `config.json`. Keys of training and of other uses of the weights are not read.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    model_type: String,
    #[serde(default)]
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: Option<bool>,
    #[serde(default)]
    add_cross_attention: Option<bool>,
    #[serde(default)]
    embedding_size: Option<usize>,
    #[serde(default)]
    quantization_config: Option<serde_json::Value>,
    #[serde(default)]
    id2label: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `1_Pooling/config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct PoolingConfig {
    word_embedding_dimension: usize,
    /// The ways of pooling by their keys, `pooling_mode_…`, and whatever else there is.
    #[serde(flatten)]
    modes: BTreeMap<String, serde_json::Value>,
}

/// `sentence_bert_config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct LimitConfig {
    #[serde(default)]
    max_seq_length: Option<u32>,
}

/// Reads a file of JSON.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let bytes = std::fs::read(path).map_err(|error| LoadFault::Io(error).in_file(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| LoadFault::Config(error.to_string()).in_file(path))
}

/// A key with a value that asks for what is not computed.
fn unsupported(key: &str, found: impl ToString) -> LoadFault {
    LoadFault::Unsupported {
        key: key.to_owned(),
        found: found.to_string(),
    }
}

impl Config {
    /// The spec, with the pooling and the limit that other files may name.
    pub(super) fn spec(
        &self,
        pooling: Option<Pooling>,
        limit: Option<LimitConfig>,
    ) -> Result<EncoderSpec, LoadFault> {
        self.check_demands()?;
        self.check_sizes()?;
        let positions = self.max_position_embeddings as u32;
        let learned = limit.and_then(|it| it.max_seq_length).unwrap_or(positions);
        Ok(EncoderSpec {
            vocabulary: self.vocab_size,
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            bend: self.bend()?,
            norm_epsilon: self.layer_norm_eps,
            positions: self.max_position_embeddings,
            segments: self.type_vocab_size,
            context: TokenCount(learned.clamp(1, positions)),
            output: self.output(pooling)?,
        })
    }

    fn check_demands(&self) -> Result<(), LoadFault> {
        let is_plain = |it: &String| it == "absolute";
        if let Some(kind) = self
            .position_embedding_type
            .as_ref()
            .filter(|it| !is_plain(it))
        {
            return Err(unsupported("position_embedding_type", kind));
        }
        if self.is_decoder == Some(true) || self.add_cross_attention == Some(true) {
            return Err(unsupported("is_decoder or add_cross_attention", true));
        }
        if let Some(size) = self.embedding_size.filter(|it| *it != self.hidden_size) {
            return Err(unsupported("embedding_size", size));
        }
        if self.quantization_config.is_some() {
            return Err(unsupported("quantization_config", "there"));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), LoadFault> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        let wrong = |key: &str, wanted: String, found: String| LoadFault::KeyValue {
            key: key.to_owned(),
            wanted,
            found,
        };
        if let Some((key, found)) = sizes
            .into_iter()
            .find(|(_, it)| !(1..=SIZE_MAX).contains(it))
        {
            return Err(wrong(key, format!("1 to {SIZE_MAX}"), found.to_string()));
        }
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            let wanted = format!("a divisor of hidden_size {hidden}");
            return Err(wrong("num_attention_heads", wanted, heads.to_string()));
        }
        // Written so that not-a-number fails, too.
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let found = self.layer_norm_eps.to_string();
            return Err(wrong(
                "layer_norm_eps",
                "above 0 and below 1".to_owned(),
                found,
            ));
        }
        Ok(())
    }

    fn bend(&self) -> Result<Bend, LoadFault> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(Bend::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Bend::GeluTanh),
            "relu" => Ok(Bend::Relu),
            other => Err(unsupported("hidden_act", other)),
        }
    }

    fn output(&self, pooling: Option<Pooling>) -> Result<EncoderOutput, LoadFault> {
        let name = self.architectures.first().map(String::as_str);
        match encoder_head(&self.model_type, name)? {
            EncoderHead::None => Ok(EncoderOutput::Vector(pooling.unwrap_or(Pooling::Mean))),
            EncoderHead::Classifier => {
                // A configuration without labels has two of them.
                let labels = self.id2label.as_ref().map_or(2, serde_json::Map::len);
                match labels {
                    1 => Ok(EncoderOutput::Score),
                    more => Err(unsupported(
                        "id2label",
                        format!("of {more} labels, not one"),
                    )),
                }
            }
        }
    }
}

impl PoolingConfig {
    pub(super) fn pooling(&self, hidden: usize) -> Result<Pooling, LoadFault> {
        if self.word_embedding_dimension != hidden {
            return Err(LoadFault::KeyValue {
                key: "word_embedding_dimension".to_owned(),
                wanted: format!("the hidden_size {hidden} of config.json"),
                found: self.word_embedding_dimension.to_string(),
            });
        }
        let asked = |(key, value): (&String, &serde_json::Value)| {
            let is_asked = key.starts_with("pooling_mode_") && *value == true;
            is_asked.then(|| key.clone())
        };
        let asked: Vec<String> = self.modes.iter().filter_map(asked).collect();
        match asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
            ["pooling_mode_cls_token"] => Ok(Pooling::First),
            [] => Err(unsupported("pooling_mode_mean_tokens", false)),
            _ => Err(unsupported(&asked.join(" and "), true)),
        }
    }
}

impl Config {
    pub(super) fn hidden(&self) -> usize {
        self.hidden_size
    }
}
