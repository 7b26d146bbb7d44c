//! From metadata to a vocabulary and a chat template.

use candle_core::quantized::gguf_file::Value;
use expect_test::expect;
use sconce_domain::TokenId;
use sconce_text::{Specials, TokenClass, Tokenizer};

use super::{file_of, line};
use crate::tiny::{TinyCheckpoint, gguf_bytes};
use crate::{BlockFormat, GgufFile, TensorType, chat_template_of, vocabulary_of};

fn tiny() -> TinyCheckpoint {
    TinyCheckpoint::new("llama", TensorType::Blocks(BlockFormat::Q8_0))
}

fn open(bytes: &[u8]) -> GgufFile {
    GgufFile::open(file_of(bytes).path()).unwrap()
}

#[test]
fn a_tiny_vocabulary_writes_any_text() {
    let file = open(&tiny().to_bytes().unwrap());
    let tokenizer = Tokenizer::new(vocabulary_of(&file).unwrap()).unwrap();
    let mut texts = vec!["the light of the sea", "é 🙂 日本", "\0\t\n\r ~", ""];
    texts.push("fn main() { println!(\"{}\", 1 + 2); }");
    for text in texts {
        let tokens = tokenizer.encode(text, Specials::Plain).unwrap();
        assert_eq!(tokenizer.decode(&tokens), text);
    }
    assert_eq!(tokenizer.encode("🙂", Specials::Plain).unwrap().len(), 1);
}

#[test]
fn a_tiny_vocabulary_has_its_special_tokens() {
    let file = open(&tiny().to_bytes().unwrap());
    let vocabulary = vocabulary_of(&file).unwrap();
    let count = vocabulary.tokens.len();
    assert_eq!(count, tiny().spec.vocabulary);
    assert_eq!(vocabulary.special.eos, Some(TokenId(count as u32 - 1)));
    assert_eq!(vocabulary.tokens[count - 1], "<|im_end|>");
    assert_eq!(vocabulary.classes[count - 1], TokenClass::Control);
    assert_eq!(vocabulary.classes[0], TokenClass::Normal);
    assert_eq!(vocabulary.edges.adds_bos, Some(false));
    assert!(
        chat_template_of(&file)
            .unwrap()
            .unwrap()
            .contains("<|im_start|>")
    );
}

/// What is said when `key` of a tiny file is `value`, or absent.
fn outcome(key: &str, value: Option<Value>) -> String {
    let checkpoint = tiny();
    let key = format!("tokenizer.{key}");
    let mut metadata = checkpoint.metadata();
    metadata.retain(|(name, _)| *name != key);
    let name = if value.is_some() {
        format!("bad {key}")
    } else {
        format!("no {key}")
    };
    metadata.extend(value.map(|value| (key, value)));
    let file = open(&gguf_bytes(&metadata, &checkpoint.tensors().unwrap()));
    line(
        &name,
        vocabulary_of(&file).and_then(|_| chat_template_of(&file).map(drop)),
    )
}

#[test]
fn a_vocabulary_that_does_not_fit_is_refused() {
    let text = |it: &str| Value::String(it.to_owned());
    let cases = [
        ("ggml.model", None),
        ("ggml.model", Some(text("bert"))),
        ("ggml.model", Some(text("llama"))),
        ("ggml.tokens", None),
        (
            "ggml.tokens",
            Some(Value::Array(vec![text("a"), text("b")])),
        ),
        ("ggml.tokens", Some(Value::Array(Vec::new()))),
        ("ggml.tokens", Some(Value::Array(vec![Value::U8(1)]))),
        ("ggml.token_type", None),
        (
            "ggml.token_type",
            Some(Value::Array(vec![Value::I32(1); 3])),
        ),
        (
            "ggml.token_type",
            Some(Value::Array(vec![Value::I32(7); tiny().spec.vocabulary])),
        ),
        ("ggml.merges", None),
        ("ggml.pre", None),
        ("ggml.eos_token_id", Some(Value::U32(1_000_000))),
        ("ggml.eos_token_id", Some(Value::I32(-1))),
        ("ggml.eos_token_id", None),
        ("ggml.add_bos_token", Some(Value::U8(1))),
        ("chat_template", None),
        ("chat_template", Some(Value::U8(1))),
    ];
    let outcomes: String = cases
        .into_iter()
        .map(|(key, value)| outcome(key, value))
        .collect();
    expect![[r#"
        no tokenizer.ggml.model: has no key tokenizer.ggml.model (a string); convert the model again with a current tool
        bad tokenizer.ggml.model: the vocabulary is unusable: tokenizer model "bert" is not supported; supported are gpt2 (byte pairs), llama (sentence pieces); convert the model again with a current tool
        bad tokenizer.ggml.model: has no key tokenizer.ggml.scores (an array of finite floating-point numbers); convert the model again with a current tool
        no tokenizer.ggml.tokens: has no key tokenizer.ggml.tokens (an array of strings); convert the model again with a current tool
        bad tokenizer.ggml.tokens: the vocabulary is unusable: it has 2 tokens, but the embedding has 284 rows; convert the model again with a current tool
        bad tokenizer.ggml.tokens: the vocabulary is unusable: it has 0 tokens, but the embedding has 284 rows; convert the model again with a current tool
        bad tokenizer.ggml.tokens: key tokenizer.ggml.tokens is an array of 1 beginning with the integer 1, wanted an array of strings; convert the model again with a current tool
        no tokenizer.ggml.token_type: accepted
        bad tokenizer.ggml.token_type: key tokenizer.ggml.token_type is an array of 3, wanted one element for each of the 284 tokens; convert the model again with a current tool
        bad tokenizer.ggml.token_type: key tokenizer.ggml.token_type is 7 for token 0, wanted 1 to 6 for each token; convert the model again with a current tool
        no tokenizer.ggml.merges: has no key tokenizer.ggml.merges (an array of strings); convert the model again with a current tool
        no tokenizer.ggml.pre: accepted
        bad tokenizer.ggml.eos_token_id: key tokenizer.ggml.eos_token_id is 1000000, wanted an id below the 284 tokens; convert the model again with a current tool
        bad tokenizer.ggml.eos_token_id: key tokenizer.ggml.eos_token_id is the integer -1, wanted an integer from 0 to 4294967295; convert the model again with a current tool
        no tokenizer.ggml.eos_token_id: accepted
        bad tokenizer.ggml.add_bos_token: key tokenizer.ggml.add_bos_token is the integer 1, wanted a boolean; convert the model again with a current tool
        no tokenizer.chat_template: accepted
        bad tokenizer.chat_template: key tokenizer.chat_template is the integer 1, wanted a string; convert the model again with a current tool
    "#]].assert_eq(&outcomes);
}
