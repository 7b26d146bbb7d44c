//! Everything that a sound engine passes and a broken one must not.

use std::any::Any;
use std::ops::Range;

use crate::{fairness, scenarios, scores, windows, world};

/// Enough to find every fault we have thought of, in seconds.
pub(crate) const SEEDS: Range<u64> = 0..300;

/// Panics if the engine breaks a promise.
#[expect(
    dead_code,
    reason = "called where the engine has been broken on purpose"
)]
pub(crate) fn prove() {
    for (_, scenario) in scenarios::ALL
        .iter()
        .chain(fairness::ALL)
        .chain(scores::ALL)
        .chain(windows::ALL)
    {
        scenario();
    }
    for seed in SEEDS {
        world::simulate(seed);
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
