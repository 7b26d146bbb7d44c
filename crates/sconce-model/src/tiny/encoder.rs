//! A tiny random encoder: its folder as the hub has one, with weights, configuration and tokenizer.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

use sconce_domain::TokenCount;
use sconce_kernels::activation::Bend;
use serde_json::{Map, Value, json};

use super::randomness::Dice;
use super::safetensors_bytes;
use crate::encoder::plain_claims;
use crate::{EncoderOutput, EncoderSpec, Pooling};

/// Tokens with a part to play, at the vocabulary's beginning.
const MARKERS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Words that are one token.
const WORDS: [&str; 8] = ["the", "and", "of", "cat", "dog", "river", "bank", "money"];

/// An encoder to be written. Change the spec first where a test needs another one.
#[derive(Debug, Clone)]
pub struct TinyEncoder {
    /// What the encoder is; its vocabulary must stay as it is.
    pub spec: EncoderSpec,
    /// Decides every weight.
    pub seed: u64,
}

impl TinyEncoder {
    /// Two layers of four heads of eight elements, for texts of 40 tokens in 48 positions.
    #[must_use]
    pub fn new(output: EncoderOutput) -> Self {
        Self {
            spec: EncoderSpec {
                vocabulary: vocabulary().len(),
                hidden: 32,
                layers: 2,
                heads: 4,
                inner: 48,
                bend: Bend::Gelu,
                norm_epsilon: 1e-12,
                positions: 48,
                segments: 2,
                context: TokenCount(40),
                output,
            },
            seed: 1,
        }
    }

    /// One that makes vectors.
    #[must_use]
    pub fn of_vectors() -> Self {
        Self::new(EncoderOutput::Vector(Pooling::Mean))
    }

    /// Writes the folder and gives the path of the weights in it.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder.join("1_Pooling"))?;
        let put = |name: &str, value: &Value| fs::write(folder.join(name), value.to_string());
        put("config.json", &self.configuration())?;
        put("tokenizer.json", &tokenizer())?;
        put(
            "sentence_bert_config.json",
            &json!({"max_seq_length": self.spec.context.0, "do_lower_case": false}),
        )?;
        let pooling = match self.spec.output {
            EncoderOutput::Vector(pooling) => pooling,
            EncoderOutput::Score => Pooling::First,
        };
        put(
            "1_Pooling/config.json",
            &json!({
                "word_embedding_dimension": self.spec.hidden,
                "pooling_mode_mean_tokens": pooling == Pooling::Mean,
                "pooling_mode_cls_token": pooling == Pooling::First,
            }),
        )?;
        let path = folder.join("model.safetensors");
        fs::write(&path, self.weights())?;
        Ok(path)
    }

    fn weights(&self) -> Vec<u8> {
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let mut dice = Dice::new(self.seed, &name);
            let width = *shape.last().unwrap_or(&1) as f32;
            let (scale, offset) = match (name.ends_with("LayerNorm.weight"), shape.len()) {
                (true, _) => (0.2, 1.0),
                (false, 1) => (0.2, 0.0),
                (false, _) if name.contains("embeddings") => (1.0, 0.0),
                (false, _) => (1.5 / width.sqrt(), 0.0),
            };
            let count: usize = shape.iter().product();
            let values = (0..count).map(|_| dice.deviate() * scale + offset);
            let bytes = values.flat_map(f32::to_le_bytes).collect();
            (name, "F32", shape, bytes)
        };
        let tensors: Vec<_> = plain_claims(&self.spec).into_iter().map(tensor).collect();
        safetensors_bytes(&tensors)
    }

    fn configuration(&self) -> Value {
        let spec = &self.spec;
        let (class, labels) = match spec.output {
            EncoderOutput::Vector(_) => ("BertModel", json!({"0": "a", "1": "b"})),
            EncoderOutput::Score => ("BertForSequenceClassification", json!({"0": "fits"})),
        };
        json!({
            "model_type": "bert",
            "architectures": [class],
            "vocab_size": spec.vocabulary,
            "hidden_size": spec.hidden,
            "num_hidden_layers": spec.layers,
            "num_attention_heads": spec.heads,
            "intermediate_size": spec.inner,
            "hidden_act": match spec.bend {
                Bend::GeluTanh => "gelu_new",
                Bend::Relu => "relu",
                Bend::Gelu | Bend::Tanh => "gelu",
            },
            "layer_norm_eps": spec.norm_epsilon,
            "max_position_embeddings": spec.positions,
            "type_vocab_size": spec.segments,
            "position_embedding_type": "absolute",
            "id2label": labels,
        })
    }
}

/// The markers, some words, and each letter and digit at a word's beginning and inside it.
fn vocabulary() -> Vec<String> {
    let letters = ('a'..='z').chain('0'..='9').chain(".,?!".chars());
    let mut tokens: Vec<String> = MARKERS
        .iter()
        .chain(&WORDS)
        .map(|it| (*it).to_owned())
        .collect();
    for letter in letters {
        tokens.push(letter.to_string());
        tokens.push(format!("##{letter}"));
    }
    tokens
}

fn tokenizer() -> Value {
    let ids: Map<String, Value> = vocabulary()
        .into_iter()
        .zip((0..).map(Value::from))
        .collect();
    let added: Vec<Value> = (0..)
        .zip(MARKERS)
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let marker =
        |name: &str, segment: u32| json!({"SpecialToken": {"id": name, "type_id": segment}});
    let text = |name: &str, segment: u32| json!({"Sequence": {"id": name, "type_id": segment}});
    let (begin, end, second_end) = (marker("[CLS]", 0), marker("[SEP]", 0), marker("[SEP]", 1));
    json!({
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text("A", 0), end],
            "pair": [begin, text("A", 0), end, text("B", 1), second_end],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    })
}
