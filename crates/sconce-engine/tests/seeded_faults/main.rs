//! Breaks the core on purpose, and fails unless the simulation notices each time.
//!
//! # How
//! A copy of the crates kv, scheduler and engine is built together with the simulation as one
//! program, in which each fault is an `if` that the program can switch on. So nothing of this
//! is in the product's sources, and one build serves all faults. A fault whose place in the
//! sources has changed fails the test too: say it anew.

mod engine_faults;
mod faults;
mod window_faults;
mod workshop;

#[test]
fn the_simulation_catches_every_seeded_fault() {
    let faults = [faults::FAULTS, engine_faults::FAULTS, window_faults::FAULTS].concat();
    let report = workshop::build_and_run(&faults);
    println!("{report}");
    let verdicts: Vec<&str> = report.lines().collect();
    assert_eq!(
        verdicts.len(),
        faults.len() + 1,
        "each fault has a verdict, and soundness one"
    );
    assert!(
        verdicts[0].starts_with("sound"),
        "the unbroken copy does not pass: {}",
        verdicts[0]
    );
    let missed: Vec<&str> = verdicts[1..]
        .iter()
        .copied()
        .filter(|it| !it.starts_with("caught"))
        .collect();
    assert!(
        missed.is_empty(),
        "the simulation misses:\n{}",
        missed.join("\n")
    );
}
