//! Runs the real engine against a fake device, a made-up crowd and a seed.
//!
//! The scenarios show one promise each; the seeds try everything at once. The test
//! `seeded_faults` holds both to account.

mod bench;
mod bounds;
mod crowd;
mod dice;
mod fairness;
mod proof;
mod scenarios;
mod scores;
mod script;
mod watch;
mod windows;
mod world;

use std::panic::catch_unwind;

#[test]
fn each_scenario_holds() {
    for (name, scenario) in scenarios::ALL
        .iter()
        .chain(fairness::ALL)
        .chain(scores::ALL)
        .chain(windows::ALL)
    {
        if let Err(panic) = catch_unwind(scenario) {
            panic!("{name}: {}", proof::message(panic.as_ref()));
        }
    }
}

#[test]
fn every_sequence_ends_as_if_it_had_run_alone_and_no_block_is_lost() {
    let mut seen = world::Seen::default();
    for seed in proof::SEEDS {
        seen.add(simulate(seed));
    }
    seen.check_that_nothing_is_rare();
}

#[test]
#[ignore = "takes a minute in a debug build; run it after changing the core"]
fn ten_thousand_seeds_end_as_if_each_sequence_had_run_alone() {
    for seed in 0..10_000 {
        simulate(seed);
    }
}

/// Names the seed of a run that fails, so that it can be run again alone.
fn simulate(seed: u64) -> world::Seen {
    catch_unwind(|| world::simulate(seed))
        .unwrap_or_else(|panic| panic!("seed {seed}: {}", proof::message(panic.as_ref())))
}
