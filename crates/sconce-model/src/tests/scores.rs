//! The probabilities of a prompt's tokens, as the engine's executor tells them.

use sconce_domain::{BlockId, Sampling, TokenCount, TokenId, TokenLogprobs};
use sconce_engine::{Computed, DrawRequest, Executor, Hold, ScoreRequest, Step, StepChunk, Strand};

use sconce_kernels::quantized_matmul::BlockFormat;

use super::file_of;
use crate::decoder::{Batch, BatchChunk, BlockTable, LogitRows};
use crate::gguf::TensorType;
use crate::tiny::TinyCheckpoint;
use crate::{Decoder, DecoderExecutor, DecoderSettings, GgufFile, Isa, KvType, spec_for};

/// More than the decoder computes logits for at a time.
const LENGTH: usize = Decoder::LOGIT_ROWS_MAX + 30;
const BLOCKS: [BlockId; 6] = [
    BlockId(3),
    BlockId(0),
    BlockId(5),
    BlockId(1),
    BlockId(4),
    BlockId(2),
];

fn decoder() -> Decoder {
    let bytes = TinyCheckpoint::new("llama", TensorType::Blocks(BlockFormat::Q8_0))
        .to_bytes()
        .unwrap();
    let file = file_of(&bytes);
    let gguf = GgufFile::open(file.path()).unwrap();
    let settings = DecoderSettings {
        threads: 1,
        isa: Isa::detect(),
        kv_blocks: BLOCKS.len(),
        kv_type: KvType::F16,
    };
    Decoder::load(&gguf, spec_for(&gguf).unwrap(), settings, &mut |_| ()).unwrap()
}

fn strand() -> Strand {
    Strand::new(0, BLOCKS.to_vec())
}

fn prompt() -> Vec<TokenId> {
    let token = |index: usize| TokenId((index * 37 % 251 + 4) as u32);
    (0..LENGTH).map(token).collect()
}

/// By the definition, from all logits at once: the second token's probability and so on.
fn by_the_definition(tokens: &[TokenId]) -> Vec<f64> {
    let mut decoder = decoder();
    let blocks = [BlockTable::from(&strand())];
    let chunk = BatchChunk {
        tokens,
        start: 0,
        blocks: &blocks,
        logits: LogitRows::All,
    };
    let vocabulary = decoder.spec().vocabulary;
    let logits = decoder.forward(&Batch::new(&[chunk]));
    let logprob = |(row, next): (&[f32], &TokenId)| {
        let sum: f64 = row.iter().map(|it| f64::from(*it).exp()).sum();
        f64::from(row[next.0 as usize]) - sum.ln()
    };
    logits
        .chunks_exact(vocabulary)
        .zip(&tokens[1..])
        .map(logprob)
        .collect()
}

/// Computes the tokens from `start` to `end`, scores those after `first`, and draws at the end.
fn run(
    executor: &mut DecoderExecutor,
    tokens: &[TokenId],
    (start, first, end): (usize, usize, usize),
) -> Computed {
    let (sampling, strands) = (Sampling::greedy(), [strand()]);
    let draws = end == tokens.len();
    let targets = &tokens[first + 1..(end + 1).min(tokens.len())];
    let chunk = StepChunk {
        tokens: &tokens[start..end],
        start: TokenCount(start as u32),
        strands: &strands,
        draw: draws.then_some(DrawRequest {
            sampling: &sampling,
            prompt: tokens,
            generated: &[],
        }),
        score: Some(ScoreRequest {
            first: TokenCount(first as u32),
            targets,
            alternatives: 2,
        }),
    };
    let chunks = vec![chunk];
    let mut holds: Vec<Hold<'_>> = chunks.iter().map(|_| Hold::free()).collect();
    let Ok(mut computed) = executor.run(&Step { chunks }, &mut holds);
    computed.remove(0)
}

#[test]
fn each_token_of_a_prompt_has_the_probability_that_its_past_gives_it() {
    let tokens = prompt();
    let exact = by_the_definition(&tokens);
    let computed = run(
        &mut DecoderExecutor::new(decoder()),
        &tokens,
        (0, 0, LENGTH),
    );
    assert_eq!(computed.scores.len(), LENGTH - 1);
    for ((score, exact), token) in computed.scores.iter().zip(exact).zip(&tokens[1..]) {
        assert_eq!(score.chosen.token, *token);
        assert!((f64::from(score.chosen.logprob) - exact).abs() < 1e-5);
        assert_eq!(score.top.len(), 2);
        assert!(score.top[0].logprob >= score.chosen.logprob);
    }
    assert!(computed.draw.is_some());
}

#[test]
fn no_more_logits_are_held_than_fit_in_memory() {
    let products = |length: usize| {
        let mut executor = DecoderExecutor::new(decoder());
        let tokens = &prompt()[..length];
        let _computed = run(&mut executor, tokens, (0, 0, length));
        executor.decoder().matmul_calls()
    };
    let rows = Decoder::LOGIT_ROWS_MAX;
    assert_eq!(products(rows), products(2));
    assert_eq!(
        products(rows + 1),
        products(2) + 1,
        "the head has two parts"
    );
}

#[test]
fn a_prompt_in_pieces_is_scored_as_it_is_whole() {
    let tokens = prompt();
    let whole = run(
        &mut DecoderExecutor::new(decoder()),
        &tokens,
        (0, 0, LENGTH),
    );
    let mut executor = DecoderExecutor::new(decoder());
    let begin = run(&mut executor, &tokens, (0, 0, 20));
    assert_eq!(begin.draw, None);
    // The second piece computes again what the first has scored, and does not score it again.
    let end = run(&mut executor, &tokens, (16, 20, LENGTH));
    let pieces: Vec<TokenLogprobs> = [begin.scores, end.scores].concat();
    assert_eq!(pieces, whole.scores);
    assert_eq!(end.draw, whole.draw);
}
