//! The one writer of a journal, and the queue in front of it.
//!
//! Whatever waits when the writer is free goes out in one write, so that many requests share its cost,
//! and, where each is to outlast a loss of power, one wait for the disk. What begins a record is turned
//! away once too much waits; what ends one is always taken, since there are no more of those than
//! records that have begun.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use sconce_domain::{ClosedRecord, OpenedRecord};

use crate::entry::{Closed, Facts, Opened};
use crate::journal::{Journal, Written};
use crate::syncer::Syncer;
use crate::{StoreError, clock};

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once the kernel has it: a killed process loses nothing, a loss of power what the kernel had not
    /// written by itself.
    Process,
    /// Once the kernel has it, which is told every 50 ms to have the disk write: a loss of power loses
    /// the last 50 ms.
    #[default]
    Group,
    /// Once the disk has it.
    Each,
}

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Where.
    pub folder: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
    /// A new file begins once one has so many bytes.
    pub segment_bytes_max: u64,
    /// Bytes of entries that may wait for the writer before no record is begun any more.
    pub waiting_bytes_max: usize,
}

impl JournalOptions {
    /// The usual way, in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            durability: Durability::default(),
            segment_bytes_max: 64 << 20,
            waiting_bytes_max: 16 << 20,
        }
    }
}

/// Is told how writing goes.
pub trait JournalWatch: fmt::Debug + Send + Sync {
    /// One write has put so much into the journal.
    fn wrote(&self, entries: u64, bytes: u64);
    /// The disk took so long to write what it had been given.
    fn synced(&self, seconds: f64);
    /// Entries could not be written, or not be made to outlast a loss of power.
    fn failed(&self, entries: u64);
}

/// Why an entry is not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// Too much waits.
    #[error("{bytes} bytes of records wait to be written already")]
    Crowded {
        /// How much.
        bytes: usize,
    },
    /// The system refused.
    #[error("{fact}")]
    Failed {
        /// What it said.
        fact: String,
    },
    /// The writer has ended.
    #[error("the journal is closed")]
    Over,
}

/// Is told whether an entry was written, on the writer's thread: it must not wait.
pub type Told = Box<dyn FnOnce(Result<(), NotWritten>) + Send>;

/// Writes records. Dropping it writes what waits, and has the disk write it.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    watch: Arc<dyn JournalWatch>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queue {
    waiting_bytes_max: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    bytes: usize,
    /// No more is taken; the writer ends once nothing waits.
    is_over: bool,
}

struct Job {
    entry: Written,
    told: Told,
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Job").field(&self.entry).finish()
    }
}

impl Recorder {
    /// Opens or begins a journal: cuts off what a write left that was cut short, closes what was open,
    /// and starts the writer.
    ///
    /// # Errors
    /// If the journal cannot be opened, is damaged, or another process writes to it.
    pub fn start(
        options: &JournalOptions,
        watch: Arc<dyn JournalWatch>,
    ) -> Result<Self, StoreError> {
        let journal = Journal::open(&options.folder, options.segment_bytes_max)?;
        let queue = Arc::new(Queue {
            waiting_bytes_max: options.waiting_bytes_max,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let syncer = match options.durability {
            Durability::Group => Some(Syncer::start(Arc::clone(&watch), &options.folder)?),
            Durability::Process | Durability::Each => None,
        };
        let writer = Writer {
            queue: Arc::clone(&queue),
            journal,
            durability: options.durability,
            syncer,
            watch: Arc::clone(&watch),
            is_failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("sconce-records".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::system(
                "start a thread to write to",
                &options.folder,
            ))?;
        Ok(Self {
            queue,
            watch,
            thread: Some(thread),
        })
    }

    /// Notes that a request is about to be admitted.
    pub fn open(&self, record: &OpenedRecord, told: Told) {
        let opened = Opened::new(record, clock::now_ms());
        let entry = Written::bare(Facts::Opened(opened));
        let bytes = entry.bytes();
        let mut waiting = self.queue.lock();
        if waiting.bytes + bytes > self.queue.waiting_bytes_max {
            let bytes = waiting.bytes;
            drop(waiting);
            self.watch.failed(1);
            return told(Err(NotWritten::Crowded { bytes }));
        }
        self.add(&mut waiting, Job { entry, told });
    }

    /// Notes that a request has ended.
    pub fn close(&self, record: &ClosedRecord, told: Told) {
        let closed = Closed::new(record, clock::now_ms());
        let entry = Written::bare(Facts::Closed(closed));
        self.add(&mut self.queue.lock(), Job { entry, told });
    }

    fn add(&self, waiting: &mut Waiting, job: Job) {
        if waiting.is_over {
            self.watch.failed(1);
            return (job.told)(Err(NotWritten::Over));
        }
        waiting.bytes += job.entry.bytes();
        waiting.jobs.push(job);
        self.queue.changed.notify_one();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.end();
        if let Some(thread) = self.thread.take() {
            // A panic was told when it happened.
            let _panicked = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, once something does. None when no more will come.
    fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        loop {
            if !waiting.jobs.is_empty() {
                waiting.bytes = 0;
                return Some(std::mem::take(&mut waiting.jobs));
            }
            if waiting.is_over {
                return None;
            }
            let woken = self.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

#[derive(Debug)]
struct Writer {
    queue: Arc<Queue>,
    journal: Journal,
    durability: Durability,
    syncer: Option<Syncer>,
    watch: Arc<dyn JournalWatch>,
    is_failing: bool,
}

impl Writer {
    fn run(mut self) {
        while let Some(jobs) = self.queue.take() {
            self.write(jobs);
        }
        if let Err(error) = self.journal.sync() {
            tracing::error!("the last records may not outlast a loss of power: {error}");
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let (entries, told): (Vec<Written>, Vec<Told>) =
            jobs.into_iter().map(|it| (it.entry, it.told)).unzip();
        let count = entries.len() as u64;
        let outcome = self.written(&entries);
        self.note_state(&outcome);
        let outcome = outcome.map_err(|error| NotWritten::Failed {
            fact: error.to_string(),
        });
        if outcome.is_err() {
            self.watch.failed(count);
        }
        for told in told {
            told(outcome.clone());
        }
        // Those whose entries are written need not wait for this.
        let rotated = self.journal.rotate_if_full();
        self.note_state(&rotated.map(|_| ()));
    }

    fn written(&mut self, entries: &[Written]) -> Result<(), StoreError> {
        let bytes = self.journal.append(entries)?;
        self.watch.wrote(entries.len() as u64, bytes);
        if self.durability == Durability::Each {
            let since = Instant::now();
            self.journal.sync()?;
            self.watch.synced(since.elapsed().as_secs_f64());
        }
        if let Some(syncer) = &self.syncer {
            syncer.sync_soon(self.journal.file());
        }
        Ok(())
    }

    /// Logs when writing begins to fail and when it works again, and not each time.
    fn note_state(&mut self, outcome: &Result<(), StoreError>) {
        match (outcome, self.is_failing) {
            (Err(error), false) => tracing::error!("records cannot be written: {error}"),
            (Ok(()), true) => tracing::info!("records are being written again"),
            _ => {}
        }
        self.is_failing = outcome.is_err();
    }
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it any more.
    fn drop(&mut self) {
        self.queue.end();
        let left = std::mem::take(&mut self.queue.lock().jobs);
        for job in left {
            (job.told)(Err(NotWritten::Over));
        }
    }
}
