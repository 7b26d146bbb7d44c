//! Teacher-forced on llama.cpp's tokens, our distribution is llama.cpp's.

use sconce_model::{Decoder, KvType};
use sconce_tests::{Completion, Divergence, divergence_from, summary};

use crate::session::{QWEN, SMOLLM2, Session, all_logits, decoder_with, token_ids};

/// llama.cpp's own kernels differ among themselves by 0.002.
const MEAN_DIVERGENCE_MAX_NATS: f64 = 0.005;
/// Above this gap between llama.cpp's first and second token, ours must be the same first.
const DECISIVE_GAP_NATS: f64 = 0.5;

#[test]
fn the_distribution_of_smollm2_is_that_of_llama_cpp() {
    check(&SMOLLM2);
}

#[test]
fn the_distribution_of_qwen2_is_that_of_llama_cpp() {
    check(&QWEN);
}

fn check(session: &Session) {
    let (found, other) = compare(session, &mut session.decoder(), "");
    assert!(found.mean_nats < MEAN_DIVERGENCE_MAX_NATS, "{found:?}");
    assert_eq!(other, Vec::<String>::new(), "other tokens come first");
}

/// A decisive gap is that of half precision: where rounding to eight bits has moved both tokens, it may
/// close, so a few may differ.
#[test]
fn with_keys_and_values_of_eight_bits_the_distributions_are_still_llama_cpp_s() {
    for session in [&*SMOLLM2, &*QWEN] {
        let mut decoder = decoder_with(session, KvType::Q8_0);
        let (found, other) = compare(session, &mut decoder, ", eight bits");
        assert!(found.mean_nats < MEAN_DIVERGENCE_MAX_NATS, "{found:?}");
        assert!(other.len() * 200 <= found.positions, "{other:#?}");
    }
}

/// How far the distributions are from llama.cpp's, and where another token comes first than does there
/// by a decisive gap.
fn compare(session: &Session, decoder: &mut Decoder, how: &str) -> (Divergence, Vec<String>) {
    let (mut divergences, mut decisive, mut other) = (Vec::new(), 0, Vec::new());
    for completion in &session.golden.completions {
        for (index, logits) in scored(decoder, completion).iter().enumerate() {
            let position = &completion.positions[index];
            divergences.push(divergence_from(position, logits));
            if position.gap_nats() > DECISIVE_GAP_NATS {
                decisive += 1;
                if largest(logits) != position.taken() {
                    let (gap, prompt) = (position.gap_nats(), &completion.prompt);
                    other.push(format!("position {index} of {prompt:?}, {gap} nats"));
                }
            }
        }
    }
    let found = summary(&divergences).expect("there are positions");
    println!(
        "{}{how}: {found:?}, {decisive} decisive, {} not so here",
        session.golden.model.name,
        other.len()
    );
    assert!(
        found.positions > 200 && decisive > 100,
        "too little was compared"
    );
    (found, other)
}

/// The logits that each generated token was drawn from.
fn scored(decoder: &mut Decoder, completion: &Completion) -> Vec<Vec<f32>> {
    let mut tokens = completion.prompt_tokens.clone();
    let first = tokens.len() - 1;
    tokens.extend(completion.tokens());
    tokens.pop();
    let logits = all_logits(decoder, &token_ids(&tokens));
    logits[first..].to_vec()
}

fn largest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}
