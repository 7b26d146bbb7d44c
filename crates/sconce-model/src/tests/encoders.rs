//! Encoders: against numbers of another implementation, in any company, and files that do not fit.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use expect_test::expect;
use sconce_domain::{EncoderText, TokenId};
use sconce_kernels::activation::Bend;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tiny::{TinyEncoder, safetensors_bytes};
use crate::{Encoder, EncoderFolder, EncoderOutput, Isa, LoadError, Pooling, SafetensorsFile};

/// What `references/encode.py` says of the checkpoints here.
const REFERENCES: &str = include_str!("references/encoders.txt");

fn cases() -> Vec<(&'static str, TinyEncoder)> {
    let bent = |bend| {
        let mut tiny = TinyEncoder::of_vectors();
        tiny.spec.bend = bend;
        tiny
    };
    vec![
        ("mean", TinyEncoder::of_vectors()),
        (
            "first",
            TinyEncoder::new(EncoderOutput::Vector(Pooling::First)),
        ),
        ("score", TinyEncoder::new(EncoderOutput::Score)),
        ("tanh", bent(Bend::GeluTanh)),
        ("relu", bent(Bend::Relu)),
    ]
}

/// Texts of one token to as many as there are positions, most of them in two parts.
fn texts() -> Vec<EncoderText> {
    let text = |length: usize| EncoderText {
        tokens: (0..length)
            .map(|it| TokenId(((it * it * 7 + length * 13 + it * 3) % 93) as u32))
            .collect(),
        second_starts: length.div_ceil(2) + length % 3,
    };
    [1, 2, 5, 16, 17, 33, 48].map(text).to_vec()
}

fn loaded(tiny: &TinyEncoder, (threads, isa): (usize, Isa)) -> Encoder {
    let folder = TempDir::new().unwrap();
    let path = tiny.write(folder.path()).unwrap();
    let opened = EncoderFolder::open(path).unwrap();
    assert_eq!(opened.spec(), &tiny.spec);
    opened.load(threads, isa).unwrap()
}

fn encoded(encoder: &mut Encoder, texts: &[EncoderText]) -> Vec<Vec<f32>> {
    encoder.encode(&texts.iter().collect::<Vec<_>>())
}

#[test]
fn every_tiny_encoder_has_the_numbers_of_another_implementation() {
    let mut wanted = BTreeMap::<&str, Vec<Vec<f64>>>::new();
    for line in REFERENCES.lines().filter(|it| !it.starts_with('#')) {
        let (name, numbers) = line.split_once(": ").unwrap();
        let numbers = numbers.split(' ').map(|it| it.parse().unwrap()).collect();
        wanted.entry(name).or_default().push(numbers);
    }
    for (name, tiny) in cases() {
        let found = encoded(&mut loaded(&tiny, (2, Isa::detect())), &texts());
        assert_eq!(found.len(), wanted[name].len(), "{name}");
        for (found, wanted) in found.iter().zip(&wanted[name]) {
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (found, wanted) in found.iter().zip(wanted) {
                let error = (f64::from(*found) - wanted).abs();
                assert!(error < 2e-5, "{name}: {found} for {wanted}");
            }
        }
    }
}

#[test]
fn a_text_has_the_bits_that_it_has_alone_whatever_its_company_threads_and_instruction_set() {
    for (name, tiny) in cases() {
        let texts = texts();
        let mut alone = loaded(&tiny, (1, Isa::Portable));
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .flat_map(|it| encoded(&mut alone, std::slice::from_ref(it)))
            .collect();
        for isa in Isa::available() {
            for threads in [1, 3] {
                let mut encoder = loaded(&tiny, (threads, isa));
                assert_eq!(encoded(&mut encoder, &texts), alone, "{name} {isa:?}");
                let mut reversed: Vec<EncoderText> = texts.iter().rev().cloned().collect();
                reversed.extend(texts.iter().cloned());
                let found = encoded(&mut encoder, &reversed);
                assert_eq!(found[texts.len()..], alone, "{name} {isa:?}");
            }
        }
    }
}

/// The folder of a tiny encoder after `change` was at it.
fn changed(change: impl FnOnce(&Path)) -> Result<Encoder, LoadError> {
    let folder = TempDir::new().unwrap();
    let path = TinyEncoder::of_vectors().write(folder.path()).unwrap();
    change(folder.path());
    EncoderFolder::open(path)?.load(1, Isa::detect())
}

/// Sets `key` of the JSON at `name`.
fn with_key(name: &'static str, key: &'static str, value: Value) -> Result<Encoder, LoadError> {
    changed(|folder| {
        let at = folder.join(name);
        let mut file: Value = serde_json::from_slice(&fs::read(&at).unwrap()).unwrap();
        file[key] = value;
        fs::write(at, file.to_string()).unwrap();
    })
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let config = [
        ("model_type", json!("roberta")),
        ("architectures", json!(["BertForMaskedLM"])),
        ("architectures", json!(["BertForSequenceClassification"])),
        ("hidden_act", json!("silu")),
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("embedding_size", json!(16)),
        ("quantization_config", json!({})),
        ("num_attention_heads", json!(5)),
        ("num_hidden_layers", json!(0)),
        ("hidden_size", json!(1_u64 << 40)),
        ("vocab_size", json!(-1)),
        ("layer_norm_eps", json!(0.0)),
        ("type_vocab_size", json!(1)),
    ];
    let pooling = [
        ("word_embedding_dimension", json!(31)),
        ("pooling_mode_max_tokens", json!(true)),
        ("pooling_mode_lasttoken", json!(true)),
        ("pooling_mode_cls_token", json!(true)),
        ("pooling_mode_mean_tokens", json!(false)),
    ];
    let mut told = String::new();
    for (name, cases) in [
        ("config.json", &config[..]),
        ("1_Pooling/config.json", &pooling),
    ] {
        for (key, value) in cases {
            let fault = with_key(name, key, value.clone()).unwrap_err().fault;
            writeln!(told, "{key}: {fault}").unwrap();
        }
    }
    expect![[r#"
        model_type: is of the unknown family "roberta"; known are bert, for encoders: choose a model of those
        architectures: is of the unknown family "BertForMaskedLM"; known are BertModel and BertForSequenceClassification, for encoders: choose a model of those
        architectures: key id2label is of 2 labels, not one, which is not supported yet; choose a model without it
        hidden_act: key hidden_act is silu, which is not supported yet; choose a model without it
        position_embedding_type: key position_embedding_type is relative_key, which is not supported yet; choose a model without it
        is_decoder: key is_decoder or add_cross_attention is true, which is not supported yet; choose a model without it
        embedding_size: key embedding_size is 16, which is not supported yet; choose a model without it
        quantization_config: key quantization_config is there, which is not supported yet; choose a model without it
        num_attention_heads: key num_attention_heads is 5, wanted a divisor of hidden_size 32; convert the model again with a current tool
        num_hidden_layers: key num_hidden_layers is 0, wanted 1 to 16777216; convert the model again with a current tool
        hidden_size: key word_embedding_dimension is 32, wanted the hidden_size 1099511627776 of config.json; convert the model again with a current tool
        vocab_size: cannot be understood: invalid value: integer `-1`, expected usize at line 1 column 66; fetch it again
        layer_norm_eps: key layer_norm_eps is 0, wanted above 0 and below 1; convert the model again with a current tool
        type_vocab_size: tensor embeddings.token_type_embeddings.weight has shape [2, 32], wanted [1, 32] by the file's own sizes; fetch it again or convert the model again
        word_embedding_dimension: key word_embedding_dimension is 31, wanted the hidden_size 32 of config.json; convert the model again with a current tool
        pooling_mode_max_tokens: key pooling_mode_max_tokens and pooling_mode_mean_tokens is true, which is not supported yet; choose a model without it
        pooling_mode_lasttoken: key pooling_mode_lasttoken and pooling_mode_mean_tokens is true, which is not supported yet; choose a model without it
        pooling_mode_cls_token: key pooling_mode_cls_token and pooling_mode_mean_tokens is true, which is not supported yet; choose a model without it
        pooling_mode_mean_tokens: key pooling_mode_mean_tokens is false, which is not supported yet; choose a model without it
    "#]].assert_eq(&told);
}

#[test]
fn keys_that_change_nothing_are_let_pass() {
    for (key, value) in [
        ("architectures", json!([])),
        ("is_decoder", json!(false)),
        ("embedding_size", json!(32)),
        ("hidden_dropout_prob", json!(0.1)),
        ("torch_dtype", json!("float32")),
    ] {
        with_key("config.json", key, value).unwrap();
    }
}

#[test]
fn a_missing_file_is_named() {
    for (name, is_needed) in [
        ("config.json", true),
        ("model.safetensors", true),
        ("1_Pooling/config.json", false),
        ("sentence_bert_config.json", false),
    ] {
        let outcome = changed(|folder| fs::remove_file(folder.join(name)).unwrap());
        match outcome {
            Ok(_) => assert!(!is_needed, "{name}"),
            Err(error) => assert!(is_needed && error.to_string().contains(name), "{error}"),
        }
    }
}

type Stored = Vec<(String, &'static str, Vec<usize>, Vec<u8>)>;

/// The tensors of a tiny encoder after `change` was at them.
fn with_tensors(change: impl FnOnce(&mut Stored)) -> Result<Encoder, LoadError> {
    changed(|folder| {
        let path = folder.join("model.safetensors");
        let file = SafetensorsFile::open(&path).unwrap();
        let mut tensors = file
            .tensors()
            .map(|it| {
                let bytes = file.map_tensor(&it.name).unwrap().bytes().to_vec();
                (it.name.clone(), "F32", it.shape.clone(), bytes)
            })
            .collect();
        change(&mut tensors);
        fs::write(path, safetensors_bytes(&tensors)).unwrap();
    })
}

#[test]
fn a_file_without_any_one_of_its_tensors_is_refused() {
    let mut count = 0;
    with_tensors(|tensors| count = tensors.len()).unwrap();
    for index in 0..count {
        let mut name = String::new();
        let outcome = with_tensors(|tensors| name = tensors.remove(index).0);
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(&format!("has no tensor {name}")), "{error}");
    }
}

#[test]
fn a_tensor_that_nobody_claims_is_refused_and_a_spare_one_is_not() {
    let extra = |name: &str| {
        let name = name.to_owned();
        with_tensors(|tensors| tensors.push((name, "I64", vec![1], vec![0; 8])))
    };
    extra("embeddings.position_ids").unwrap();
    extra("pooler.dense.weight").unwrap();
    for name in ["classifier.weight", "encoder.layer.2.output.dense.bias"] {
        let error = extra(name).unwrap_err().to_string();
        assert!(
            error.contains("which nothing in this family uses"),
            "{error}"
        );
    }
}

#[test]
fn a_tensor_of_another_shape_or_type_is_refused() {
    let error = with_tensors(|tensors| tensors[0].2.reverse()).unwrap_err();
    assert!(error.to_string().contains("has shape [32, 93]"), "{error}");
    let error = with_tensors(|tensors| tensors[4].1 = "I32").unwrap_err();
    assert!(error.to_string().contains("is stored as I32"), "{error}");
}

#[test]
fn half_widths_are_computed_with() {
    for kind in ["F16", "BF16"] {
        let mut narrow = with_tensors(|tensors| {
            for tensor in tensors {
                tensor.1 = kind;
                let singles = tensor.3.chunks_exact(4);
                let singles = singles.map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]));
                tensor.3 = match kind {
                    "F16" => singles
                        .flat_map(|it| half::f16::from_f32(it).to_le_bytes())
                        .collect(),
                    _ => singles
                        .flat_map(|it| half::bf16::from_f32(it).to_le_bytes())
                        .collect(),
                };
            }
        })
        .unwrap();
        let mut wide = loaded(&TinyEncoder::of_vectors(), (1, Isa::detect()));
        let (narrow, wide) = (encoded(&mut narrow, &texts()), encoded(&mut wide, &texts()));
        for (narrow, wide) in narrow.iter().zip(&wide) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let cosine = dot(narrow, wide) / (dot(narrow, narrow) * dot(wide, wide)).sqrt();
            assert!(cosine > 0.999, "{kind}: {cosine}");
        }
        assert_ne!(narrow, wide, "{kind}");
    }
}

/// Writes what `references/encode.py` reads.
#[test]
#[ignore = "writes the folders that references/encode.py reads"]
fn write_the_encoders_for_numpy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/encoders");
    for (name, tiny) in cases() {
        tiny.write(&root.join(name)).unwrap();
    }
    let texts: Vec<Value> = texts()
        .iter()
        .map(|it| {
            let tokens: Vec<u32> = it.tokens.iter().map(|it| it.0).collect();
            json!({"tokens": tokens, "second_starts": it.second_starts})
        })
        .collect();
    fs::write(root.join("texts.json"), Value::from(texts).to_string()).unwrap();
}

#[test]
fn the_header_tells_what_an_encoder_will_take() {
    for (name, tiny) in cases() {
        let folder = TempDir::new().unwrap();
        let opened = EncoderFolder::open(tiny.write(folder.path()).unwrap()).unwrap();
        let told = opened.weight_bytes().unwrap();
        let taken = opened.load(1, Isa::detect()).unwrap().weight_bytes();
        assert!(told > 0, "{name}");
        assert_eq!(told, taken as u64, "{name}");
    }
}
