//! Teacher-forced on llama.cpp's tokens, our distribution is llama.cpp's.

use sconce_tests::{Completion, divergence_from, summary};

use crate::session::{QWEN, SMOLLM2, Session, all_logits, token_ids};

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
    let mut divergences = Vec::new();
    let mut decisive = 0;
    for completion in &session.golden.completions {
        for (index, logits) in scored(session, completion).iter().enumerate() {
            let position = &completion.positions[index];
            divergences.push(divergence_from(position, logits));
            if position.gap_nats() > DECISIVE_GAP_NATS {
                decisive += 1;
                let found = largest(logits);
                assert_eq!(
                    found,
                    position.taken(),
                    "position {index} of {:?}",
                    completion.prompt
                );
            }
        }
    }
    let found = summary(&divergences).expect("there are positions");
    println!(
        "{}: {found:?}, {decisive} decisive",
        session.golden.model.name
    );
    assert!(
        found.positions > 200 && decisive > 100,
        "too little was compared"
    );
    assert!(found.mean_nats < MEAN_DIVERGENCE_MAX_NATS, "{found:?}");
}

/// The logits that each generated token was drawn from.
fn scored(session: &Session, completion: &Completion) -> Vec<Vec<f32>> {
    let mut tokens = completion.prompt_tokens.clone();
    let first = tokens.len() - 1;
    tokens.extend(completion.tokens());
    tokens.pop();
    let logits = all_logits(&mut session.decoder(), &token_ids(&tokens));
    logits[first..].to_vec()
}

fn largest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}
