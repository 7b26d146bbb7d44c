//! Tiny checkpoints against llama.cpp: the same weights, the same tokens, the same probabilities.
//!
//! The weights follow from a seed, so only what llama.cpp says is kept, in `references/`. To make it
//! anew, run the ignored test here, which writes the checkpoints, then `references/ask.mjs`.

use std::collections::BTreeMap;
use std::path::Path;

use sconce_domain::TokenId;

use super::file_of;
use crate::tiny::TinyCheckpoint;
use crate::{
    Batch, BatchChunk, Decoder, DecoderSettings, GgufFile, Isa, LogitRows, TensorType, spec_for,
};

/// Tokens of the prompt, long enough for windows to matter.
const LENGTH: usize = 48;
/// Every which token's log-probability is kept.
const TOKEN_STRIDE: usize = 8;

/// A checkpoint with a name, and how far a log-probability may be from llama.cpp's on average.
struct Case {
    name: String,
    checkpoint: TinyCheckpoint,
    mean_error_max: f64,
}

fn cases() -> Vec<Case> {
    TensorType::ALL.map(stored_as).into()
}

/// Weights are exactly the same in both engines, but each rounds activations in its own way; llama.cpp
/// takes one scale for 256 of them where weights come in such blocks. A wrong weight costs more than one.
fn stored_as(kind: TensorType) -> Case {
    let mean_error_max = match kind {
        TensorType::F32 => 2e-3,
        TensorType::F16 | TensorType::Bf16 => 2e-2,
        TensorType::Blocks(_) if kind.block_elements() == 32 => 8e-2,
        TensorType::Blocks(_) => 0.5,
    };
    Case {
        name: format!("stored-as-{kind}"),
        checkpoint: TinyCheckpoint::new("llama", kind),
        mean_error_max,
    }
}

fn prompt() -> Vec<TokenId> {
    let token = |index: usize| TokenId((index * 37 % 251 + 4) as u32);
    (0..LENGTH).map(token).collect()
}

/// The log-probabilities of every token at every position.
fn log_probabilities(checkpoint: &TinyCheckpoint) -> Vec<Vec<f64>> {
    let bytes = checkpoint.to_bytes().unwrap();
    let file = file_of(&bytes);
    let gguf = GgufFile::open(file.path()).unwrap();
    let spec = spec_for(&gguf).unwrap();
    let settings = DecoderSettings {
        threads: 1,
        isa: Isa::detect(),
        kv_blocks: 4,
    };
    let mut decoder = Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap();
    let tokens = prompt();
    let chunk = BatchChunk {
        tokens: &tokens,
        start: 0,
        blocks: &[2, 0, 1],
        logits: LogitRows::All,
    };
    let logits = decoder.forward(&Batch::new(&[chunk]));
    let rows = logits.chunks_exact(checkpoint.spec.vocabulary);
    rows.map(normalised).collect()
}

fn normalised(logits: &[f32]) -> Vec<f64> {
    let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|it| (it - largest).exp()).sum();
    let offset = largest + total.ln();
    logits.iter().map(|it| it - offset).collect()
}

/// What llama.cpp says, by checkpoint and position.
fn references() -> BTreeMap<(String, usize), Vec<f64>> {
    let lines = include_str!("references/llama_cpp.txt").lines();
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap().to_owned();
        let position = fields.next().unwrap().parse().unwrap();
        let values = fields.map(|it| it.parse().unwrap()).collect();
        ((name, position), values)
    };
    lines.filter(|it| !it.starts_with('#')).map(parse).collect()
}

#[test]
fn every_tiny_checkpoint_has_llama_cpp_s_distribution() {
    let references = references();
    let mut failures = Vec::new();
    for case in cases() {
        let found = log_probabilities(&case.checkpoint);
        let kept = references
            .iter()
            .filter(|((name, _), _)| *name == case.name);
        let mut errors = Vec::new();
        for ((_, position), wanted) in kept {
            let found = found[*position].iter().step_by(TOKEN_STRIDE);
            errors.extend(
                found
                    .zip(wanted)
                    .map(|(found, wanted)| (found - wanted).abs()),
            );
        }
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        println!("{}: mean error {mean:.5} of {}", case.name, errors.len());
        if errors.len() < 100 || mean.is_nan() || mean > case.mean_error_max {
            failures.push(format!("{} is off by {mean}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
#[ignore = "writes the files that references/ask.mjs reads"]
fn write_the_checkpoints_for_llama_cpp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tiny");
    std::fs::create_dir_all(&folder).unwrap();
    let tokens: Vec<String> = prompt().iter().map(|it| it.0.to_string()).collect();
    std::fs::write(folder.join("prompt.txt"), tokens.join(" ")).unwrap();
    for case in cases() {
        let path = folder.join(format!("{}.gguf", case.name));
        case.checkpoint.write(path).unwrap();
    }
}
