//! One promise each, shown in a few steps.

use sconce_domain::{SequenceId, TenantId, TokenCount, TokenId};
use sconce_engine::{Command, Engine, Event, NewSequence, SchedulerError};

use crate::bench::{Bench, prompt};
use crate::crowd::sequence;
use crate::watch::Watched;

/// A promise and what shows it.
pub(crate) type Scenario = (&'static str, fn());

pub(crate) const ALL: &[Scenario] = &[
    (
        "a known prompt is computed only where it ends",
        a_known_prompt,
    ),
    (
        "answers to one prompt compute it once",
        answers_to_one_prompt,
    ),
    ("the end of the oldest prefix is evicted first", eviction),
    (
        "whoever gave way finds most of its work again",
        a_cheap_return,
    ),
    (
        "cancelling half of a crowd frees its blocks at once",
        cancelling_half,
    ),
    (
        "a stream goes on while a long prompt is computed",
        a_long_prompt,
    ),
    (
        "a prompt takes no more of a step than the streams are worth",
        a_prompt_beside_streams,
    ),
    (
        "an answer taken back goes on from there and gives its blocks back",
        taken_back,
    ),
    (
        "a block that is shared is not written when one is taken back",
        taken_back_from_a_shared_block,
    ),
    (
        "whoever is given up starts with the next step or never",
        given_up,
    ),
    (
        "what cannot be started is refused and changes nothing",
        refusals,
    ),
];

fn a_known_prompt() {
    let mut bench = Bench::new(64, 64);
    assert_eq!(bench.run(sequence(1, prompt(0, 17), 1)), (0, 17));
    assert_eq!(bench.run(sequence(2, prompt(0, 17), 1)), (16, 1));
    assert_eq!(
        bench.run(sequence(3, prompt(0, 16), 1)),
        (12, 4),
        "one token must be computed"
    );
    let foreign = NewSequence {
        tenant: TenantId("other".into()),
        ..sequence(4, prompt(0, 17), 1)
    };
    assert_eq!(bench.run(foreign), (0, 17), "another tenant shares nothing");
    let status = bench.engine.status();
    assert_eq!(status.prefix_queried_tokens_total, 17 + 17 + 16 + 17);
    assert_eq!(status.prefix_hit_tokens_total, 16 + 12);
}

fn answers_to_one_prompt() {
    let mut bench = Bench::new(64, 64);
    for id in 1..=4 {
        bench.start(sequence(id, prompt(0, 17), 8));
    }
    assert_eq!(
        bench.step().0,
        [17],
        "the first computes the prompt for all"
    );
    assert_eq!(
        bench.step().0,
        [1, 1, 1, 1],
        "the others compute its last token only"
    );
    assert_eq!(
        bench.referenced(),
        4 + 4,
        "four blocks are shared and each has one of its own"
    );
    bench.finish();
    bench.start(sequence(5, prompt(20, 17), 8));
    bench.start(NewSequence {
        tenant: TenantId("other".into()),
        ..sequence(6, prompt(20, 17), 8)
    });
    assert_eq!(
        bench.step().0,
        [17, 17],
        "another tenant does not wait for what it may not have"
    );
    bench.finish();
}

fn eviction() {
    let mut bench = Bench::new(8, 64);
    bench.run(sequence(1, prompt(0, 16), 1));
    bench.run(sequence(2, prompt(20, 16), 1));
    assert_eq!(
        bench.engine.status().blocks_cached,
        8,
        "everything is remembered"
    );
    bench.run(sequence(3, prompt(10, 8), 1));
    assert_eq!(
        bench.run(sequence(4, prompt(0, 17), 1)).0,
        8,
        "the oldest has lost its end"
    );
}

/// The older one needs a block, so the younger one gives its blocks back, most of which are
/// still there when the older one has ended.
fn a_cheap_return() {
    let mut bench = Bench::new(12, 64);
    bench.start(sequence(1, prompt(0, 23), 4));
    bench.start(sequence(2, prompt(20, 23), 8));
    let (tokens, _) = bench.finish();
    let status = bench.engine.status();
    assert_eq!(status.preemptions_total, 1);
    assert_eq!(
        tokens,
        (23 + 3) + (23 + 7) + 4,
        "one block is computed anew, and no more"
    );
}

fn cancelling_half() {
    let mut bench = Bench::new(1_000, 4_096);
    for id in 0..32 {
        bench.start(sequence(u64::from(id), prompt(id, 5 + id), 50));
    }
    for _ in 0..7 {
        bench.step();
    }
    assert_eq!(bench.engine.status().running, 32);
    for id in (0..32).step_by(2) {
        bench
            .engine
            .apply(Command::Cancel(SequenceId(id)))
            .expect("anybody may leave");
    }
    // Seven steps have computed the prompt and six more tokens.
    let held = |steps: u32| {
        (1..32)
            .step_by(2)
            .map(|id| (5 + id + steps - 1_u32).div_ceil(4))
            .sum()
    };
    let referenced: u32 = held(7);
    assert_eq!(
        bench.referenced(),
        referenced,
        "their blocks are free before the next step"
    );
    bench.step();
    let referenced: u32 = held(8);
    assert_eq!(
        bench.referenced(),
        referenced,
        "nobody else holds more than its own"
    );
    bench.finish();
    assert_eq!(bench.referenced(), 0);
}

fn a_long_prompt() {
    let mut bench = Bench::new(100, 16);
    bench.start(sequence(1, prompt(0, 8), 50));
    bench.step();
    bench.start(sequence(2, prompt(20, 150), 1));
    for _ in 0..10 {
        assert_eq!(
            bench.step().0,
            [1, 15],
            "one token for the stream, the rest for the prompt"
        );
    }
    bench.finish();
}

fn a_prompt_beside_streams() {
    let mut bench = Bench::beside_streams(TokenCount(3), (8, 200, 64));
    bench.start(sequence(1, prompt(0, 40), 60));
    assert_eq!(bench.step().0, [40], "nobody is kept waiting by the first");
    bench.start(sequence(2, prompt(20, 100), 60));
    assert_eq!(bench.step().0, [1, 4], "three and one for the stream");
    bench.start(sequence(3, prompt(30, 100), 60));
    bench.start(sequence(4, prompt(50, 100), 60));
    assert_eq!(bench.step().0, [1, 12], "three wait for each stream");
    while bench.step().0.len() < 4 {}
    assert_eq!(
        bench.step().0,
        [1, 1, 1, 6],
        "three and one for each stream"
    );
    bench.finish();
    let mut bench = Bench::beside_streams(TokenCount(511), (8, 600, 1024));
    bench.start(sequence(1, prompt(0, 4), 60));
    bench.step();
    bench.start(sequence(2, prompt(20, 1400), 1));
    assert_eq!(bench.step().0, [1, 512]);
    assert_eq!(bench.step().0, [1, 342], "a row costs half as much again");
    bench.finish();
}

fn given_up() {
    let mut bench = Bench::of_places(1, 64, 64);
    for id in 1..=3 {
        bench.start(sequence(id, prompt(0, 8), 4));
    }
    for id in [1, 3] {
        let expire = Command::Expire(SequenceId(id));
        bench.engine.apply(expire).expect("anybody may be given up");
    }
    let (computed, told) = bench.step();
    assert_eq!(computed, [8], "whoever can start does");
    let expired = Event::Expired {
        sequence: SequenceId(3),
    };
    assert_eq!((told.len(), &told[0]), (3, &expired), "{told:?}");
    let first = Command::Expire(SequenceId(1));
    bench.engine.apply(first).expect("anybody may be given up");
    let (_, told) = bench.finish();
    let answers = told.iter().filter(|it| matches!(it, Event::Ended { .. }));
    assert_eq!(answers.count(), 2, "whoever has started goes on: {told:?}");
}

fn rewind(sequence: u64, position: u32) -> Command {
    Command::Rewind {
        sequence: SequenceId(sequence),
        position: TokenCount(position),
        sampling: None,
    }
}

fn drawn(events: &[Event]) -> Vec<TokenId> {
    let draws = events.iter().filter_map(|event| match event {
        Event::Token { draw, .. } => Some(draw.token),
        _ => None,
    });
    draws.collect()
}

fn taken_back() {
    let mut bench = Bench::new(64, 64);
    bench.start(sequence(1, prompt(0, 6), 20));
    let told: Vec<Event> = (0..10).flat_map(|_| bench.step().1).collect();
    let before = drawn(&told);
    assert_eq!((before.len(), bench.referenced()), (10, 4));
    bench.engine.apply(rewind(1, 10)).expect("it has sixteen");
    assert_eq!(bench.referenced(), 3, "its last block is free at once");
    let (chunks, told) = bench.step();
    assert_eq!(
        chunks,
        [1],
        "only the last token that stays is computed anew"
    );
    let (sequence, position) = (SequenceId(1), TokenCount(10));
    assert_eq!(told[0], Event::Rewound { sequence, position });
    assert_eq!(drawn(&told), before[4..5], "the same rules draw the same");
    let refuse = |engine: &mut Engine<Watched>, command| engine.apply(command).err();
    let into_prompt = SchedulerError::RewindIntoPrompt {
        sequence,
        position: TokenCount(5),
        prompt: TokenCount(6),
    };
    assert_eq!(refuse(&mut bench.engine, rewind(1, 5)), Some(into_prompt));
    let beyond = SchedulerError::RewindBeyondEnd {
        sequence,
        position: TokenCount(12),
        known: TokenCount(11),
    };
    assert_eq!(refuse(&mut bench.engine, rewind(1, 12)), Some(beyond));
    let (computed, told) = bench.finish();
    assert_eq!((computed, told.len()), (15, 15 + 1), "nobody noticed");
    let not_here = SchedulerError::NotHere { sequence };
    assert_eq!(refuse(&mut bench.engine, rewind(1, 10)), Some(not_here));
}

/// The second has the first one's answer in its prompt and so shares the block that is cut.
fn taken_back_from_a_shared_block() {
    let mut bench = Bench::new(64, 64);
    bench.start(sequence(1, prompt(0, 6), 20));
    let told: Vec<Event> = (0..7).flat_map(|_| bench.step().1).collect();
    let both = [prompt(0, 6), drawn(&told)].concat();
    bench.start(sequence(2, both, 9));
    bench.step();
    assert_eq!(bench.referenced(), 3 + 1 + 1, "three blocks are shared");
    bench.engine.apply(rewind(1, 11)).expect("it has fourteen");
    assert_eq!(bench.referenced(), 3 + 1 + 1, "one given back, one taken");
    assert_eq!(
        bench.step().0,
        [1, 3],
        "its part of the shared block is computed anew"
    );
    bench.finish();
}

fn refusals() {
    let mut bench = Bench::new(4, 16);
    assert_eq!(bench.engine.sequence_tokens_max(), TokenCount(17));
    bench.start(sequence(1, prompt(0, 10), 7));
    let mut refuse = |new| {
        let before = bench.engine.status();
        let refused = bench.engine.apply(Command::Start(new)).err();
        assert_eq!(bench.engine.status(), before);
        bench.engine.check_invariants();
        refused
    };
    let id = SequenceId(2);
    let too_long = refuse(sequence(2, prompt(0, 10), 8));
    assert_eq!(
        too_long.map(|it| it.to_string()).as_deref(),
        Some(
            "sequence 2 may reach 18 tokens and so 5 KV blocks, but there are only 4: shorten \
             the prompt, ask for fewer tokens or give the cache more memory"
        )
    );
    assert!(
        refuse(sequence(2, prompt(0, 10), u32::MAX)).is_some(),
        "no sum wraps around"
    );
    assert_eq!(
        refuse(sequence(2, vec![], 8)),
        Some(SchedulerError::EmptyPrompt { sequence: id })
    );
    let duplicate = Some(SchedulerError::DuplicateId {
        sequence: SequenceId(1),
    });
    assert_eq!(refuse(sequence(1, prompt(0, 1), 1)), duplicate);
    bench.finish();
}
