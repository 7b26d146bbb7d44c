//! A pool of threads that share one loop. Between loops the workers spin briefly, then sleep.
//!
//! *Why our own.* A step has about 150 short loops a token on a small model; a general pool spends
//! several microseconds on waking and joining for each, which is a fifth of such a step.
//!
//! A loop waits for the tasks that workers have begun, never for a worker that has not come: on a
//! busy machine a worker may be off its processor for milliseconds, while the caller does the work.

mod disjoint;
mod gate;

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

pub use disjoint::DisjointSlice;
use gate::{Gate, Seen};

/// Parts for each thread of a loop over parts: enough to share evenly on a machine that does other
/// things as well, few enough to make taking one cheap.
const PARTS_PER_THREAD: usize = 4;

/// Threads that run the tasks of one loop together. The caller's thread is one of them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// The loop that is being run. A raw pointer, because workers outlive every single loop.
#[derive(Debug, Clone, Copy)]
struct Job {
    body: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    next_task: AtomicUsize,
    panicked: AtomicBool,
    /// Written by the caller while the gate is shut and nobody inside, read by workers inside.
    job: UnsafeCell<Option<Job>>,
}

// SAFETY: the gate orders the accesses to `job` (see there), and a job's body is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; a job is only a pointer until a worker that is inside calls it.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, at least one, the caller's included.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            gate: Gate::default(),
            next_task: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            job: UnsafeCell::new(None),
        });
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("sconce-kernel-{index}"))
                .spawn(move || shared.work())
        };
        // A thread the system refuses is one fewer to share the loops with, not an error.
        let workers = (1..threads).map_while(|index| spawn(index).ok()).collect();
        Self { shared, workers }
    }

    /// Threads that share a loop.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// How many of `items` a part should have, at least `least`, so that the threads share them
    /// evenly.
    #[must_use]
    pub fn part_length(&self, items: usize, least: usize) -> usize {
        items
            .div_ceil(self.threads() * PARTS_PER_THREAD)
            .max(least)
            .max(1)
    }

    /// Runs `body` once for each number below `tasks` and returns when all have ended.
    ///
    /// # Panics
    /// If a task panicked.
    pub fn run(&mut self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() {
            (0..tasks).for_each(body);
            return;
        }
        // SAFETY: only the lifetime changes. The gate is shut again, with nobody left inside, before
        // this function returns or unwinds.
        let lasting: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        // SAFETY: the gate is shut and nobody inside, since the last loop ended so.
        unsafe {
            *self.shared.job.get() = Some(Job {
                body: lasting,
                tasks,
            })
        };
        self.shared.next_task.store(0, Ordering::Relaxed);
        self.shared.gate.open();
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.take_tasks(tasks, body)));
        self.shared.gate.shut();
        let worker_panicked = self.shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            std::panic::resume_unwind(panic);
        }
        assert!(
            !worker_panicked,
            "a kernel's task panicked on a pool thread"
        );
    }

    /// Cuts `items` into parts of `length`, the last one perhaps shorter, and runs `body` once for
    /// each with the index of the part's first item.
    ///
    /// # Panics
    /// If a task panicked or `length` is zero.
    pub fn run_parts<T: Send>(
        &mut self,
        items: &mut [T],
        length: usize,
        body: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let count = items.len();
        let items = DisjointSlice::new(items);
        self.run(count.div_ceil(length), &|part| {
            let first = part * length;
            // SAFETY: tasks have different parts.
            body(first, unsafe {
                items.part(first, length.min(count - first))
            });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.gate.lock();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so joining it cannot fail for a reason of ours.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn take_tasks(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        loop {
            let task = self.next_task.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            body(task);
        }
    }

    fn work(&self) {
        let mut seen = Seen::default();
        while self.gate.enter(&mut seen) {
            // SAFETY: this worker is inside.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: the caller waits in `run` until this worker has left.
                let body = unsafe { &*job.body };
                let outcome = catch_unwind(AssertUnwindSafe(|| self.take_tasks(job.tasks, body)));
                if outcome.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            }
            self.gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once_in_each_of_many_loops() {
        let mut pool = Pool::new(3);
        for round in 0..2_000 {
            let tasks = round % 17;
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|task| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(
                counts.iter().all(|it| it.load(Ordering::Relaxed) == 1),
                "round {round}"
            );
        }
    }

    #[test]
    fn every_part_is_run_with_its_own_items() {
        let mut pool = Pool::new(3);
        for count in 0..40 {
            for length in [1, 3, 7, 64] {
                let mut items = vec![0; count];
                pool.run_parts(&mut items, length, &|first, part| {
                    assert!(first % length == 0 && part.len() <= length);
                    for (offset, item) in part.iter_mut().enumerate() {
                        *item += first + offset + 1;
                    }
                });
                assert_eq!(items, (1..=count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_panicking_task_is_reported_and_the_pool_stays_usable() {
        let mut pool = Pool::new(2);
        let run = catch_unwind(AssertUnwindSafe(|| {
            pool.run(8, &|task| assert!(task != 5, "task five fails"));
        }));
        assert!(run.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, &|task| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn a_pool_that_slept_wakes_up() {
        let mut pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            pool.run(4, &|task| {
                sum.fetch_add(task + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 10);
        }
    }
}
