//! Who goes first and what each tenant gets: the promises of the scheduler, counted in steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use sconce_domain::{Priority, SequenceId, TenantId, TokenCount};
use sconce_engine::{Command, Event, NewSequence};

use crate::bench::{Bench, prompt};
use crate::crowd::{sequence, weight_of};
use crate::dice::Dice;
use crate::scenarios::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    ("the more urgent go first and take a place", urgency),
    ("the least urgent gives way, however old it is", giving_way),
    (
        "a thousand queued requests delay another tenant by two steps",
        a_flood,
    ),
    (
        "a thousand queued requests delay another tenant by one step a block holder",
        a_flood_in_a_tiny_pool,
    ),
    ("tenants are served by their weights", weights),
    ("whoever was away is owed nothing for it", no_credit),
    ("whoever comes back still owes", no_forgiveness),
    ("prompts of two tenants share the steps", shared_steps),
    ("nobody takes the last place of another", last_places),
    (
        "the youngest gives way, and only where it must",
        the_youngest,
    ),
];

/// The first number of a tenant's sequences.
const GRACE: u64 = 100_000;

fn of(tenant: &str, new: NewSequence) -> NewSequence {
    NewSequence {
        tenant: TenantId(Arc::from(tenant)),
        ..new
    }
}

fn urgent(priority: i32, new: NewSequence) -> NewSequence {
    NewSequence {
        priority: Priority(priority),
        ..new
    }
}

/// Those that start in a step.
fn started(events: &[Event]) -> Vec<u64> {
    let ids = events.iter().filter_map(|event| match event {
        Event::Started { sequence, .. } => Some(sequence.0),
        _ => None,
    });
    ids.collect()
}

fn speaks(events: &[Event], id: u64) -> bool {
    let is_token = |it: &Event| matches!(it, Event::Token { sequence, .. } if sequence.0 == id);
    events.iter().any(is_token)
}

fn ended(events: &[Event]) -> Vec<u64> {
    let ids = events.iter().filter_map(|event| match event {
        Event::Ended { sequence, .. } => Some(sequence.0),
        _ => None,
    });
    ids.collect()
}

fn urgency() {
    let mut bench = Bench::of_places(2, 100, 64);
    bench.start(sequence(1, prompt(0, 5), 30));
    bench.start(sequence(2, prompt(1, 5), 30));
    bench.step();
    bench.start(urgent(1, sequence(3, prompt(2, 5), 2)));
    bench.start(sequence(4, prompt(3, 5), 2));
    bench.start(urgent(-1, sequence(5, prompt(4, 5), 2)));
    let (chunks, told) = bench.step();
    assert_eq!((chunks.len(), started(&told)), (2, vec![5]));
    assert!(!speaks(&told, 2), "the younger of two equals gives way");
    assert_eq!(bench.engine.status().displacements_total, 1);
    let (_, rest) = bench.finish();
    assert_eq!(started(&rest), [4, 3], "then by urgency");
    assert_eq!(
        bench.engine.status().displacements_total,
        1,
        "none for them"
    );
}

/// Six blocks of four: the older, less urgent one holds what the younger needs.
fn giving_way() {
    let mut bench = Bench::new(6, 64);
    bench.start(urgent(1, sequence(1, prompt(0, 11), 12)));
    bench.step();
    bench.start(sequence(2, prompt(20, 11), 12));
    let (_, told) = bench.finish();
    assert_eq!(bench.engine.status().preemptions_total, 1);
    assert_eq!(ended(&told), [2, 1]);
}

fn flooded(running_max: u32, blocks: u32) -> Bench {
    let mut bench = Bench::of_places(running_max, blocks, 24);
    for id in 0..1_000_u32 {
        let new = sequence(u64::from(id), prompt(id, 3 + id % 9), 30 + id % 7);
        bench.start(of("ada", new));
    }
    bench
}

/// Steps until `id` starts and until it speaks, counting from one.
fn delay(bench: &mut Bench, id: u64) -> (u32, u32) {
    let mut start = None;
    for step in 1..1_000 {
        let (_, told) = bench.step();
        if started(&told).contains(&id) {
            start = Some(step);
        }
        if speaks(&told, id) {
            return (start.expect("whoever speaks has started"), step);
        }
    }
    panic!("{id} is starved");
}

fn a_flood() {
    let mut dice = Dice::new(3);
    let mut bench = flooded(8, 200);
    for round in 0..20 {
        for _ in 0..dice.between(1, 40) {
            bench.step();
        }
        let (id, length) = (GRACE + round, dice.between(1, 60));
        bench.start(of("grace", sequence(id, prompt(7, length), 2)));
        let (start, speech) = delay(&mut bench, id);
        // Beside seven streams a step has seventeen tokens left for prompts.
        assert!(start <= 2, "{id} waits {start} steps");
        let computed = 1 + length.div_ceil(17);
        assert!(speech <= 2 + computed, "{id} speaks after {speech} steps");
        bench.step();
        bench.step();
    }
}

/// Blocks for three of the flood, of which two must give way one after the other.
fn a_flood_in_a_tiny_pool() {
    let mut bench = flooded(8, 27);
    for round in 0..10 {
        for _ in 0..17 {
            bench.step();
        }
        let running = bench.engine.status().running;
        let id = GRACE + round;
        bench.start(of("grace", sequence(id, prompt(7, 40), 2)));
        let (start, _) = delay(&mut bench, id);
        assert!(
            start <= running + 1,
            "{id} waits {start} steps of {running}"
        );
        bench.step();
    }
}

/// Two floods; returns how many of each have ended after `steps`.
fn race(bench: &mut Bench, steps: u32) -> BTreeMap<bool, u32> {
    let mut finished = BTreeMap::from([(false, 0), (true, 0)]);
    for _ in 0..steps {
        for id in ended(&bench.step().1) {
            *finished.entry(id >= GRACE).or_default() += 1;
        }
    }
    finished
}

fn weights() {
    let mut bench = Bench::of_places(8, 200, 64);
    for id in 0..400_u32 {
        // Too short to be found in the cache, so that each costs the same.
        let new = |id| sequence(id, prompt(id as u32, 4), 10);
        bench.start(of("ada", new(u64::from(id))));
        let heavy = of("grace", new(GRACE + u64::from(id)));
        bench.start(NewSequence {
            weight: weight_of(3),
            ..heavy
        });
    }
    let finished = race(&mut bench, 600);
    let (light, heavy) = (finished[&false], finished[&true]);
    assert!(
        light.abs_diff(heavy / 3) <= 3 && light > 100,
        "{light} and {heavy} ended, which is not one to three"
    );
}

fn no_credit() {
    let mut bench = flooded(4, 200);
    race(&mut bench, 400);
    for id in 0..300_u64 {
        let new = sequence(GRACE + id, prompt(id as u32, 7), 33);
        bench.start(of("grace", new));
    }
    let finished = race(&mut bench, 800);
    let (here, back) = (finished[&false], finished[&true]);
    assert!(here.abs_diff(back) <= 5, "{here} and {back} ended");
}

/// One has a queue, the other asks again as soon as it has its answer, which is three times as
/// dear as each of the first one's.
fn no_forgiveness() {
    let mut bench = Bench::of_places(1, 100, 64);
    for id in 0..200 {
        bench.start(of("ada", sequence(id, prompt(id as u32, 4), 4)));
    }
    let mut finished = [0_u32; 2];
    let mut next = GRACE;
    bench.start(of("grace", sequence(next, prompt(5, 4), 15)));
    for _ in 0..400 {
        for id in ended(&bench.step().1) {
            finished[usize::from(id >= GRACE)] += 1;
            if id >= GRACE {
                next += 1;
                bench.start(of("grace", sequence(next, prompt(next as u32, 4), 15)));
            }
        }
    }
    let [queued, again] = finished;
    assert!(
        queued.abs_diff(3 * again) <= 3 && again > 10,
        "{queued} and {again} ended"
    );
}

/// Two long prompts at once: neither waits for the end of the other.
fn shared_steps() {
    let mut bench = Bench::new(300, 16);
    bench.start(of("ada", sequence(1, prompt(0, 400), 1)));
    bench.step();
    bench.start(of("ada", sequence(2, prompt(1, 400), 1)));
    bench.start(of("grace", sequence(GRACE, prompt(2, 160), 1)));
    let (start, speech) = delay(&mut bench, GRACE);
    assert!(start <= 2, "it waits {start} steps");
    assert!(
        (10..=22).contains(&speech),
        "ten steps of its own take {speech}"
    );
}

/// More tenants than places: nobody's only sequence gives way.
fn last_places() {
    let mut bench = Bench::of_places(3, 100, 64);
    for (id, tenant) in ["ada", "grace", "edsger", "barbara", "donald"]
        .iter()
        .enumerate()
    {
        bench.start(of(tenant, sequence(id as u64, prompt(id as u32, 5), 9)));
    }
    bench
        .engine
        .apply(Command::Rewind {
            sequence: SequenceId(4),
            position: TokenCount(5),
            sampling: None,
        })
        .expect("a sequence that waits can be told to stay where it is");
    let (_, told) = bench.finish();
    assert_eq!(started(&told), [0, 1, 2, 3, 4]);
    assert_eq!(bench.engine.status().displacements_total, 0);
}

fn the_youngest() {
    for (places, displaced) in [(3, 1), (4, 0)] {
        let mut bench = Bench::of_places(places, 100, 64);
        for id in 1..=3 {
            bench.start(of("ada", sequence(id, prompt(id as u32, 5), 30)));
            bench.step();
        }
        bench.start(of("grace", sequence(GRACE, prompt(9, 5), 30)));
        let (_, told) = bench.step();
        assert!(speaks(&told, 1) && speaks(&told, 2) && speaks(&told, GRACE));
        assert_eq!(speaks(&told, 3), displaced == 0);
        assert_eq!(bench.engine.status().displacements_total, displaced);
    }
}
