//! A pool of threads that share one loop. Between loops the workers spin briefly, then sleep.
//!
//! *Why our own.* A step has about 150 short loops a token on a small model; a general pool spends
//! several microseconds on waking and joining for each, which is a fifth of such a step.

mod disjoint;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use disjoint::DisjointSlice;

/// How often a waiting thread looks again before it sleeps: some tens of microseconds.
const SPINS: u32 = 4_000;

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

// SAFETY: `run` does not return before every worker has let go of the body, and the body is `Sync`.
unsafe impl Send for Job {}

#[derive(Debug)]
struct Shared {
    /// Counts the loops begun; a worker that sees it change joins in.
    epoch: AtomicUsize,
    next_task: AtomicUsize,
    workers_busy: AtomicUsize,
    panicked: AtomicBool,
    stopping: AtomicBool,
    job: Mutex<Option<Job>>,
    wake: Condvar,
}

impl Pool {
    /// A pool of `threads` threads, at least one, the caller's included.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            next_task: AtomicUsize::new(0),
            workers_busy: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            job: Mutex::new(None),
            wake: Condvar::new(),
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

    /// Runs `body` once for each number below `tasks` and returns when all have ended.
    ///
    /// # Panics
    /// If a task panicked.
    pub fn run(&mut self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() {
            (0..tasks).for_each(body);
            return;
        }
        self.begin(tasks, body);
        let own = catch_unwind(AssertUnwindSafe(|| self.shared.take_tasks(tasks, body)));
        self.wait_for_workers();
        let worker_panicked = self.shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            std::panic::resume_unwind(panic);
        }
        assert!(
            !worker_panicked,
            "a kernel's task panicked on a pool thread"
        );
    }

    fn begin(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. `run` waits for every worker before the body ends.
        let body: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        self.shared.next_task.store(0, Ordering::Relaxed);
        self.shared
            .workers_busy
            .store(self.workers.len(), Ordering::Relaxed);
        let mut job = self.shared.lock_job();
        *job = Some(Job { body, tasks });
        self.shared.epoch.fetch_add(1, Ordering::Release);
        drop(job);
        self.shared.wake.notify_all();
    }

    fn wait_for_workers(&self) {
        let mut spins = 0;
        while self.shared.workers_busy.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let job = self.shared.lock_job();
        self.shared.epoch.fetch_add(1, Ordering::Release);
        drop(job);
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so joining it cannot fail for a reason of ours.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock_job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let mut seen = 0;
        loop {
            seen = self.wait_for_change(seen);
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let job = *self.lock_job();
            if let Some(job) = job {
                // SAFETY: the caller waits in `run` until this worker is no longer busy.
                let body = unsafe { &*job.body };
                let outcome = catch_unwind(AssertUnwindSafe(|| self.take_tasks(job.tasks, body)));
                if outcome.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
                self.workers_busy.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Spins, then sleeps, until a loop after `seen` has begun.
    fn wait_for_change(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
            std::hint::spin_loop();
        }
        let mut job = self.lock_job();
        loop {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
            job = self.wake.wait(job).unwrap_or_else(PoisonError::into_inner);
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
