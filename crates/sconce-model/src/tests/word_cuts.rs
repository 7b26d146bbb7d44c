//! Every named way of cutting words against llama.cpp's, on a vocabulary that shows where cuts are.
//!
//! Each two bytes of a small alphabet have a merge, so any two that stand together in a word may become
//! one token, and two with a cut between them never do. What llama.cpp says is kept in `references/`;
//! to make it anew, run the ignored test here, then `references/cut.mjs`.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use sconce_text::{Specials, Tokenizer};

use super::file_of;
use crate::tiny::{TinyCheckpoint, gguf_bytes};
use crate::{GgufFile, TensorType, vocabulary_of};

const ALPHABET: [&str; 24] = [
    "a", "s", "l", "t", "B", "D", "1", "2", "3", " ", "  ", "\n", "\r", "\t", ".", "!", "/", "'",
    "'ll", "é", "É", "日", "_", "½",
];
const RANDOM_TEXTS: usize = 40;
/// Texts with tokens in them that no merge makes.
const TEXTS: [&str; 3] = [" salt 123", "Bats's   a", "tBats'll saltsBa 3123"];
/// Tokens that no merge makes.
const WHOLE_WORDS: [&str; 4] = ["Ġsalt", "123", "ĠĠĠ", "Bats"];

/// The way of cutting for each of the `names` that Sconce knows: read from the refusal of another.
fn names() -> Vec<String> {
    let file = file_of(&vocabulary("no such name"));
    let vocabulary = vocabulary_of(&GgufFile::open(file.path()).unwrap()).unwrap();
    let refusal = Tokenizer::new(vocabulary).unwrap_err().to_string();
    let known = refusal.split("known are ").last().unwrap();
    known.split(", ").map(str::to_owned).collect()
}

/// Texts that a few constants decide.
fn texts() -> Vec<String> {
    let mut state = 7_u64;
    let mut next = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let random = (0..RANDOM_TEXTS).map(|_| {
        (0..next(14) + 4)
            .map(|_| ALPHABET[next(ALPHABET.len())])
            .collect()
    });
    TEXTS.map(str::to_owned).into_iter().chain(random).collect()
}

/// A file of the vocabulary alone, cut in the way of that name.
fn vocabulary(pre: &str) -> Vec<u8> {
    let mut metadata = TinyCheckpoint::new("llama", TensorType::F32).metadata();
    let place = |metadata: &[(String, Value)], name: &str| {
        let key = format!("tokenizer.ggml.{name}");
        metadata.iter().position(|(it, _)| *it == key).unwrap()
    };
    let at = place(&metadata, "tokens");
    let Value::Array(tokens) = &metadata[at].1 else {
        panic!("tokens are an array");
    };
    let letters: Vec<&String> = tokens[..256]
        .iter()
        .map(|it| it.to_string().unwrap())
        .collect();
    let mut bytes: Vec<u8> = ALPHABET.concat().into_bytes();
    bytes.sort_unstable();
    bytes.dedup();
    let mut tokens: Vec<String> = letters.iter().map(|it| (*it).clone()).collect();
    let mut merges = Vec::new();
    for distance in 0..bytes.len() {
        for (index, left) in bytes.iter().enumerate() {
            let right = bytes[(index + distance) % bytes.len()];
            let (left, right) = (letters[usize::from(*left)], letters[usize::from(right)]);
            merges.push(format!("{left} {right}"));
            tokens.push(format!("{left}{right}"));
        }
    }
    tokens.extend(WHOLE_WORDS.map(str::to_owned));
    let classes = vec![Value::I32(1); tokens.len()];
    let texts = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect());
    for (name, value) in [
        ("tokens", texts(tokens)),
        ("merges", texts(merges)),
        ("token_type", Value::Array(classes)),
        ("pre", Value::String(pre.to_owned())),
    ] {
        let at = place(&metadata, name);
        metadata[at].1 = value;
    }
    gguf_bytes(&metadata, &[])
}

#[test]
fn words_are_cut_where_llama_cpp_cuts_them() {
    let fixture = include_str!("references/word_cuts.txt");
    let texts = texts();
    for name in names() {
        let file = file_of(&vocabulary(&name));
        let vocabulary = vocabulary_of(&GgufFile::open(file.path()).unwrap()).unwrap();
        let tokenizer = Tokenizer::new(vocabulary).unwrap();
        let prefix = format!("{name} ");
        let lines = fixture.lines().filter_map(|it| it.strip_prefix(&prefix));
        let mut compared = 0;
        for (text, line) in texts.iter().zip(lines) {
            let found = tokenizer.encode(text, Specials::Plain).unwrap();
            let found: Vec<String> = found.iter().map(|it| it.0.to_string()).collect();
            assert_eq!(found.join(" "), line, "{name} {text:?}");
            compared += 1;
        }
        assert_eq!(compared, texts.len(), "{name} is not in the fixture");
    }
}

#[test]
#[ignore = "writes the files that references/cut.mjs reads"]
fn write_the_vocabularies_for_llama_cpp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cuts");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("texts.txt"), texts().join("\0")).unwrap();
    for name in names() {
        std::fs::write(folder.join(format!("{name}.gguf")), vocabulary(&name)).unwrap();
    }
}
