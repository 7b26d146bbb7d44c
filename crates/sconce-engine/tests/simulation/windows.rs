//! What layers that look back over a window save, one promise each.

use sconce_domain::{KvGroups, SequenceId, TokenCount};
use sconce_engine::{Command, SchedulerError};

use crate::bench::{Bench, prompt};
use crate::crowd::sequence;
use crate::scenarios::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    (
        "where all layers have a window a few blocks hold any sequence",
        any_length,
    ),
    (
        "where some layers have none only those hold all of it",
        some_without,
    ),
    (
        "a prefix is found by what its end sees, though its beginning is lost",
        found_by_its_end,
    ),
    (
        "a prefix is not found if its end sees something that is lost",
        not_found,
    ),
    (
        "going back to what a window has passed begins again with what is cached",
        taken_back,
    ),
];

/// The first token of a step sees seven positions before it, and a step adds four: eleven positions
/// touch four blocks of four.
fn window_of_eight(boundless: u32) -> KvGroups {
    KvGroups {
        boundless,
        windowed: 1,
        window: TokenCount(8),
    }
}

fn any_length() {
    let mut bench = Bench::of_groups(window_of_eight(0), 4, 4);
    assert!(bench.engine.sequence_tokens_max().0 > 1_000_000);
    bench.start(sequence(1, prompt(0, 40), 20));
    let (tokens, _) = bench.finish();
    assert_eq!(tokens, 40 + 19);
    let status = bench.engine.status();
    // All but the blocks that the last token sees were passed.
    assert_eq!((status.preemptions_total, status.passed_total), (0, 13));
}

fn some_without() {
    let mut bench = Bench::of_groups(window_of_eight(1), 10 + 4, 4);
    assert_eq!(bench.engine.sequence_tokens_max(), TokenCount(41));
    bench.start(sequence(1, prompt(0, 40), 1));
    let mut most = 0;
    while !bench.engine.is_idle() {
        bench.step();
        most = most.max(bench.referenced());
    }
    assert_eq!(most, 10 + 4, "all of the one and the window of the other");
    let refused = bench
        .engine
        .apply(Command::Start(sequence(2, prompt(0, 41), 1)));
    assert!(matches!(refused, Err(SchedulerError::TooLong { .. })));
}

fn found_by_its_end() {
    let mut bench = Bench::of_groups(window_of_eight(0), 5, 4);
    bench.run(sequence(1, prompt(0, 32), 1));
    assert!(bench.engine.status().evictions_total >= 3);
    assert_eq!(bench.run(sequence(2, prompt(0, 33), 1)), (32, 1));
    assert_eq!(bench.run(sequence(3, prompt(0, 9), 1)).0, 0);
}

fn not_found() {
    let mut bench = Bench::of_groups(window_of_eight(1), 64, 4);
    bench.run(sequence(1, prompt(0, 33), 1));
    assert_eq!(bench.run(sequence(2, prompt(0, 33), 1)), (32, 1));
    // Other tokens take all blocks but a few, the first of which to go are those of the beginning.
    let mut bench = Bench::of_groups(window_of_eight(1), 13, 4);
    bench.run(sequence(1, prompt(0, 33), 1));
    bench.run(sequence(2, prompt(20, 17), 1));
    let (cached, computed) = bench.run(sequence(3, prompt(0, 33), 1));
    assert_eq!(cached + computed, 33);
    assert!(cached < 32, "of {cached} tokens the beginning is lost");
}

fn taken_back() {
    let mut bench = Bench::of_groups(window_of_eight(0), 64, 8);
    bench.start(sequence(1, prompt(0, 8), 40));
    for _ in 0..30 {
        bench.step();
    }
    let rewind = |position| Command::Rewind {
        sequence: SequenceId(1),
        position: TokenCount(position),
        sampling: None,
    };
    bench.engine.apply(rewind(9)).expect("it was there");
    bench.engine.check_invariants();
    assert_eq!(bench.engine.status().preemptions_total, 1);
    assert_eq!(bench.step().0, [1], "all but the last token is cached");
    let (tokens, _) = bench.finish();
    assert_eq!(tokens, 38, "the rest of the answer");
}
