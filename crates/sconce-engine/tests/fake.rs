//! The fake device notices what it is there to notice.

use sconce_domain::{BlockId, BlockSize, KvGroups, Sampling, TokenCount, TokenId};
use sconce_engine::fake::{FakeError, FakeExecutor};
use sconce_engine::{Computed, DrawRequest, Executor, Hold, ScoreRequest, Step, StepChunk, Strand};

const VOCABULARY: u32 = 50;

fn fake() -> FakeExecutor {
    FakeExecutor::new(
        BlockSize::new(2).expect("two is a power of two"),
        VOCABULARY,
    )
}

fn tokens(count: u32) -> Vec<TokenId> {
    (0..count).map(TokenId).collect()
}

/// The strand of the only group of layers.
fn strand(blocks: &[u32]) -> [Strand; 1] {
    [strand_from(0, blocks)]
}

fn strand_from(first: u32, blocks: &[u32]) -> Strand {
    Strand::new(first, blocks.iter().copied().map(BlockId).collect())
}

fn chunk<'a>(tokens: &'a [TokenId], start: u32, strands: &'a [Strand]) -> StepChunk<'a> {
    StepChunk {
        tokens,
        start: TokenCount(start),
        strands,
        draw: None,
        score: None,
    }
}

fn run(fake: &mut FakeExecutor, chunk: StepChunk<'_>) -> Result<Vec<Computed>, FakeError> {
    let step = Step {
        chunks: vec![chunk],
    };
    fake.run(&step, &mut [Hold::free()])
}

#[test]
fn a_prompt_in_pieces_draws_what_it_draws_whole() {
    let (all, sampling) = (tokens(5), Sampling::greedy());
    let draw = Some(DrawRequest {
        sampling: &sampling,
        prompt: &all,
        generated: &[],
    });
    let blocks = strand(&[4, 0, 9]);
    let whole = run(
        &mut fake(),
        StepChunk {
            draw,
            ..chunk(&all, 0, &blocks)
        },
    );
    let mut pieces = fake();
    assert_eq!(
        run(&mut pieces, chunk(&all[..3], 0, &blocks)),
        Ok(vec![Computed::default()])
    );
    let end = run(
        &mut pieces,
        StepChunk {
            draw,
            ..chunk(&all[3..], 3, &blocks)
        },
    );
    assert_eq!(end, whole);
    assert!(matches!(
        whole.unwrap()[..],
        [Computed { draw: Some(_), .. }]
    ));
}

#[test]
fn the_seed_matters_only_above_temperature_zero() {
    let drawn = |temperature: f32, seed: u64| {
        let sampling = Sampling {
            temperature,
            seed,
            logprobs: Some(3),
            ..Sampling::greedy()
        };
        let prompt = tokens(3);
        let request = DrawRequest {
            sampling: &sampling,
            prompt: &prompt,
            generated: &[],
        };
        sconce_engine::fake::draw(&request, None, VOCABULARY)
    };
    assert_eq!(drawn(0.0, 1), drawn(0.0, 2));
    assert_ne!(drawn(1.0, 1).token, drawn(1.0, 2).token);
    assert_eq!(drawn(1.0, 1).logprobs.unwrap().top.len(), 3);
}

#[test]
fn poison_fails_the_step_and_nothing_else() {
    let mut fake = fake().failing_on(TokenId(99));
    let failed = run(&mut fake, chunk(&[TokenId(99)], 0, &strand(&[0])));
    assert_eq!(failed, Err(FakeError::Poisoned(TokenId(99))));
    assert!(run(&mut fake, chunk(&tokens(2), 0, &strand(&[0]))).is_ok());
}

#[test]
#[should_panic(expected = "told to panic")]
fn poison_panics_where_that_is_asked_for() {
    let mut fake = fake().panicking_on(TokenId(99));
    run(&mut fake, chunk(&tokens(2), 0, &strand(&[0]))).unwrap();
    let _ = run(&mut fake, chunk(&[TokenId(99)], 0, &strand(&[1])));
}

#[test]
#[should_panic(expected = "read before it is written")]
fn a_wrong_block_is_noticed() {
    let mut fake = fake();
    run(&mut fake, chunk(&tokens(2), 0, &strand(&[0]))).unwrap();
    let _ = run(&mut fake, chunk(&tokens(1), 2, &strand(&[1, 2])));
}

#[test]
#[should_panic(expected = "another sequence's past")]
fn an_overwritten_block_is_noticed() {
    let mut fake = fake();
    let blocks = strand(&[0, 1]);
    run(&mut fake, chunk(&tokens(4), 0, &blocks)).unwrap();
    run(
        &mut fake,
        chunk(&[TokenId(8), TokenId(9)], 0, &strand(&[0])),
    )
    .unwrap();
    let _ = run(&mut fake, chunk(&tokens(1), 4, &strand(&[0, 1, 2])));
}

#[test]
#[should_panic(expected = "is another token")]
fn a_token_that_the_client_did_not_send_is_noticed() {
    let (all, sampling) = (tokens(2), Sampling::greedy());
    let prompt = [TokenId(0), TokenId(7)];
    let draw = Some(DrawRequest {
        sampling: &sampling,
        prompt: &prompt,
        generated: &[],
    });
    let _ = run(
        &mut fake(),
        StepChunk {
            draw,
            ..chunk(&all, 0, &strand(&[0]))
        },
    );
}

#[test]
fn a_prompt_is_scored_by_all_that_stands_before_each_token() {
    let all = tokens(5);
    let expected = sconce_engine::fake::scores(&all, 2);
    let score = |first: u32, targets: std::ops::Range<usize>| {
        Some(ScoreRequest {
            first: TokenCount(first),
            targets: &all[targets],
            alternatives: 2,
        })
    };
    let blocks = strand(&[4, 0, 9]);
    let mut fake = fake();
    let begin = StepChunk {
        score: score(0, 1..4),
        ..chunk(&all[..3], 0, &blocks)
    };
    assert_eq!(run(&mut fake, begin).unwrap()[0].scores, expected[..3]);
    let end = StepChunk {
        score: score(3, 4..5),
        ..chunk(&all[3..], 3, &blocks)
    };
    assert_eq!(run(&mut fake, end).unwrap()[0].scores, expected[3..]);
    let mut other = all.clone();
    other[0] = TokenId(9);
    assert_ne!(sconce_engine::fake::scores(&other, 2)[3], expected[3]);
}

#[test]
#[should_panic(expected = "not in the chunk")]
fn a_score_outside_of_the_chunk_is_noticed() {
    let all = tokens(4);
    let score = Some(ScoreRequest {
        first: TokenCount(1),
        targets: &all[2..4],
        alternatives: 0,
    });
    let _ = run(
        &mut fake(),
        StepChunk {
            score,
            ..chunk(&all[..2], 0, &strand(&[0]))
        },
    );
}

#[test]
fn what_lies_behind_a_window_is_not_read_and_what_lies_in_it_is() {
    let groups = KvGroups {
        boundless: 1,
        windowed: 1,
        window: TokenCount(3),
    };
    let all = tokens(7);
    let mut fake = fake().with_groups(groups);
    let begin = [strand_from(0, &[4, 0, 9]), strand_from(0, &[5, 1, 8])];
    run(&mut fake, chunk(&all[..5], 0, &begin)).unwrap();
    // Position 5 sees 3, 4 and itself.
    let end = [strand_from(0, &[4, 0, 9, 2]), strand_from(1, &[1, 8, 3])];
    run(&mut fake, chunk(&all[5..], 5, &end)).unwrap();
    let passed = [strand_from(0, &[4, 0, 9, 2]), strand_from(2, &[8, 3])];
    let read = std::panic::catch_unwind(move || {
        let _ = run(&mut fake, chunk(&all[5..], 5, &passed));
    });
    assert!(read.is_err());
}

#[test]
#[should_panic(expected = "is another group's")]
fn a_block_of_another_group_is_noticed() {
    let groups = KvGroups {
        boundless: 2,
        windowed: 0,
        window: TokenCount(0),
    };
    let mut fake = fake().with_groups(groups);
    let begin = [strand_from(0, &[4]), strand_from(0, &[5])];
    run(&mut fake, chunk(&tokens(2), 0, &begin)).unwrap();
    let swapped = [strand_from(0, &[5, 1]), strand_from(0, &[4, 2])];
    let _ = run(&mut fake, chunk(&tokens(1), 2, &swapped));
}
