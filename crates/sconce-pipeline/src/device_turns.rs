//! Turns at the processors. Each model has a thread of its own and a pool that wants every core; two
//! that compute at once would only get in each other's way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Lets one device compute at a time, in the order in which they asked. Clones share the turns.
#[derive(Debug, Clone, Default)]
pub struct DeviceTurns {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    moved: Condvar,
}

/// Numbers are drawn and called in order.
#[derive(Debug, Default)]
struct Queue {
    drawn: u64,
    called: u64,
}

/// The right to compute. Dropping it passes the turn on.
#[derive(Debug)]
#[must_use = "dropping this passes the turn on"]
pub struct DeviceTurn<'a> {
    shared: &'a Shared,
}

impl DeviceTurns {
    /// Waits for a turn. Blocks the thread; hold it for one step of a device, no longer.
    pub fn take(&self) -> DeviceTurn<'_> {
        let shared = &*self.shared;
        let mut queue = shared.lock();
        let number = queue.drawn;
        queue.drawn += 1;
        while queue.called != number {
            let waited = shared.moved.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        DeviceTurn { shared }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeviceTurn<'_> {
    fn drop(&mut self) {
        self.shared.lock().called += 1;
        self.shared.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_computes_at_a_time_and_none_that_waits_is_passed_twice() {
        let turns = DeviceTurns::default();
        let inside = AtomicU32::new(0);
        let log = Mutex::new(Vec::new());
        let work = |name: u32| {
            for _ in 0..50 {
                let _turn = turns.take();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                log.lock().unwrap().push(name);
                std::thread::sleep(Duration::from_micros(200));
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| work(0));
            scope.spawn(|| work(1));
        });
        let log = log.into_inner().unwrap();
        // Alone at first and at last; in between each waits for the other's step and no longer.
        let first = log.iter().position(|it| *it != log[0]).unwrap();
        let last = log
            .iter()
            .rposition(|it| it != log.last().unwrap())
            .unwrap();
        let between = &log[first..=last];
        let longest_run = between
            .chunk_by(|one, next| one == next)
            .map(<[u32]>::len)
            .max();
        assert!(between.len() > 40 && longest_run <= Some(2), "{log:?}");
    }

    #[test]
    fn a_device_that_panics_passes_its_turn_on() {
        let turns = DeviceTurns::default();
        let panics = AssertUnwindSafe(|| {
            let _turn = turns.take();
            panic!("the device panics");
        });
        assert!(catch_unwind(panics).is_err());
        let _turn = turns.take();
    }
}
