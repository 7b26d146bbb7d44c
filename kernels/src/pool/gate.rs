//! The gate through which workers come to a loop: open while there are tasks, shut for the rest.
//!
//! One number holds all of it: how many workers are inside (the low half), whether the gate is open
//! (one bit), and which loop it is (the rest). Coming in is a compare-and-swap that fails once the
//! gate is shut, so who shuts it waits for those inside only. Whatever the opener wrote before is
//! seen inside, and whatever was written inside is seen after shutting.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// How often a waiting thread looks again before it sleeps: some tens of microseconds.
const SPINS: u32 = 4_000;

const INSIDE: u64 = 0xffff_ffff;
const OPEN: u64 = 1 << 32;
const LOCKED: u64 = 1 << 33;
const NEXT_LOOP: u64 = 1 << 34;

/// See the module. The default is shut, with nobody inside.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: AtomicU64,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

/// The loop a worker was in last, so that it does not come twice to one that has no tasks left.
#[derive(Debug, Default)]
pub(super) struct Seen(u64);

impl Gate {
    /// Lets workers in to a new loop. The gate must be shut.
    pub(super) fn open(&self) {
        // Nobody is inside and nobody can come in, so nobody else writes to the state.
        let state = self.state.load(Ordering::Relaxed);
        self.announce(state.wrapping_add(NEXT_LOOP) | OPEN);
    }

    /// Lets nobody else in, and waits for those inside to leave.
    pub(super) fn shut(&self) {
        let mut state = self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while state & INSIDE > 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
            state = self.state.load(Ordering::Acquire);
        }
    }

    /// Sends every worker home for good. The gate must be shut.
    pub(super) fn lock(&self) {
        self.announce(LOCKED);
    }

    /// Waits for a loop not seen before and goes in; false if the gate was locked.
    pub(super) fn enter(&self, seen: &mut Seen) -> bool {
        loop {
            let state = self.wait_for_change(seen);
            if state & LOCKED > 0 {
                return false;
            }
            let inside = state + 1;
            let swap =
                self.state
                    .compare_exchange(state, inside, Ordering::Acquire, Ordering::Relaxed);
            if swap.is_ok() {
                *seen = Seen(loop_of(state));
                return true;
            }
        }
    }

    /// Leaves a loop.
    pub(super) fn leave(&self) {
        self.state.fetch_sub(1, Ordering::Release);
    }

    /// Changes the state and wakes who sleeps. Both sides write before they look, in one order for
    /// all threads: either the sleeper is counted here or it sees the new state before it sleeps.
    fn announce(&self, state: u64) {
        self.state.store(state, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }
    }

    /// Spins, then sleeps, until the gate is locked or open to a loop not seen before.
    fn wait_for_change(&self, seen: &Seen) -> u64 {
        for _ in 0..SPINS {
            let state = self.state.load(Ordering::Relaxed);
            if concerns(state, seen) {
                return state;
            }
            std::hint::spin_loop();
        }
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let state = loop {
            let state = self.state.load(Ordering::SeqCst);
            if concerns(state, seen) {
                break state;
            }
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        state
    }
}

fn concerns(state: u64, seen: &Seen) -> bool {
    let is_new = state & OPEN > 0 && loop_of(state) != seen.0;
    is_new || state & LOCKED > 0
}

fn loop_of(state: u64) -> u64 {
    state / NEXT_LOOP
}
