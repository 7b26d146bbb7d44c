//! The same bits however a prompt is cut and whatever shares the batch, in one pass over all.

use sconce_domain::TokenId;
use sconce_model::{Batch, BatchChunk, BlockTable, Decoder, KvType, LogitRows};

use crate::session::{QWEN, SMOLLM2, Session, all_logits, blocks, decoder_with, token_ids};

#[test]
fn a_prompt_whole_in_chunks_and_token_by_token_gives_the_same_bits() {
    for session in [&*SMOLLM2, &*QWEN] {
        check_chunks(session, &mut session.decoder());
    }
    check_chunks(&SMOLLM2, &mut decoder_with(&SMOLLM2, KvType::Q8_0));
}

fn check_chunks(session: &Session, decoder: &mut Decoder) {
    let prompt = long_prompt(session);
    let whole = all_logits(decoder, &prompt);
    for step in [1, 7, 16, 40] {
        let found = chunked_logits(decoder, &prompt, step);
        assert!(found == whole, "chunks of {step} differ from the whole");
    }
}

#[test]
fn a_sequence_in_a_mixed_batch_gets_the_bits_it_gets_alone() {
    for session in [&*SMOLLM2, &*QWEN] {
        let prompt = long_prompt(session);
        let mut decoder = session.decoder();
        let alone = all_logits(&mut decoder, &prompt);
        let vocabulary = decoder.spec().vocabulary;
        let tables: Vec<[BlockTable; 1]> = (0..8).map(blocks).collect();
        let prefixes: Vec<&[TokenId]> = (0..8).map(|index| &prompt[..3 + 9 * index]).collect();
        let chunks: Vec<BatchChunk<'_>> = prefixes
            .iter()
            .zip(&tables)
            .map(|(tokens, blocks)| BatchChunk {
                tokens,
                start: 0,
                blocks,
                logits: LogitRows::Last,
            })
            .collect();
        let found = decoder.forward(&Batch::new(&chunks));
        for (prefix, found) in prefixes.iter().zip(found.chunks_exact(vocabulary)) {
            assert!(
                found == alone[prefix.len() - 1],
                "a prefix of {} differs",
                prefix.len()
            );
        }
    }
}

#[test]
fn a_step_multiplies_each_matrix_once_whatever_its_batch() {
    let session = &*SMOLLM2;
    let prompt = long_prompt(session);
    let mut decoder = session.decoder();
    let mut calls = |sequences: usize, tokens: usize| {
        let before = decoder.matmul_calls();
        let tables: Vec<[BlockTable; 1]> = (0..sequences).map(blocks).collect();
        let chunks: Vec<BatchChunk<'_>> = tables
            .iter()
            .map(|blocks| BatchChunk {
                tokens: &prompt[..tokens],
                start: 0,
                blocks,
                logits: LogitRows::Last,
            })
            .collect();
        decoder.forward(&Batch::new(&chunks));
        decoder.matmul_calls() - before
    };
    let alone = calls(1, 1);
    assert_eq!(alone, 30 * 4 + 1, "four products a layer and the head");
    assert_eq!(calls(1, 60), alone);
    assert_eq!(calls(12, 5), alone);
}

fn long_prompt(session: &Session) -> Vec<TokenId> {
    let completion = &session.golden.completions[0];
    let mut tokens = completion.prompt_tokens.clone();
    tokens.extend(completion.tokens());
    tokens.extend(
        session.golden.completions[1]
            .prompt_tokens
            .iter()
            .chain(&completion.tokens()),
    );
    tokens.truncate(70);
    token_ids(&tokens)
}

fn chunked_logits(decoder: &mut Decoder, tokens: &[TokenId], step: usize) -> Vec<Vec<f32>> {
    let blocks = blocks(1);
    let vocabulary = decoder.spec().vocabulary;
    let mut rows = Vec::new();
    for (index, tokens) in tokens.chunks(step).enumerate() {
        let start = index * step;
        let chunk = BatchChunk {
            tokens,
            start,
            blocks: &blocks,
            logits: LogitRows::All,
        };
        let logits = decoder.forward(&Batch::new(&[chunk]));
        rows.extend(logits.chunks_exact(vocabulary).map(<[f32]>::to_vec));
    }
    rows
}
