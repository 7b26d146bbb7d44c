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
use crate::subjects::Subjects;
use crate::syncer::Syncer;
use crate::{StoreError, clock, content};

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

/// What is to be written, and who is told.
struct Job {
    facts: Facts,
    /// What is to be sealed with it.
    content: Vec<u8>,
    told: Told,
}

/// About what facts take.
const FACTS_BYTES: usize = 512;

impl Job {
    fn bytes(&self) -> usize {
        FACTS_BYTES + self.content.len()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Job").field(&self.facts).finish()
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
            subjects: Subjects::open(&options.folder)?,
            durability: options.durability,
            syncer,
            watch: Arc::clone(&watch),
            writing: Health::Works,
            rotating: Health::Works,
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
        let content = record
            .input
            .as_ref()
            .map_or_else(Vec::new, content::of_input);
        let job = Job {
            facts: Facts::Opened(opened),
            content,
            told,
        };
        let bytes = job.bytes();
        let mut waiting = self.queue.lock();
        if waiting.bytes + bytes > self.queue.waiting_bytes_max {
            let bytes = waiting.bytes;
            drop(waiting);
            self.watch.failed(1);
            return (job.told)(Err(NotWritten::Crowded { bytes }));
        }
        self.add(&mut waiting, job);
    }

    /// Notes that a request has ended.
    pub fn close(&self, record: &ClosedRecord, told: Told) {
        let closed = Closed::new(record, clock::now_ms());
        let content = record
            .output
            .as_ref()
            .map_or_else(Vec::new, content::of_output);
        let job = Job {
            facts: Facts::Closed(closed),
            content,
            told,
        };
        self.add(&mut self.queue.lock(), job);
    }

    fn add(&self, waiting: &mut Waiting, job: Job) {
        if waiting.is_over {
            self.watch.failed(1);
            return (job.told)(Err(NotWritten::Over));
        }
        waiting.bytes += job.bytes();
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
    subjects: Subjects,
    durability: Durability,
    syncer: Option<Syncer>,
    watch: Arc<dyn JournalWatch>,
    writing: Health,
    /// How the last try to begin a new file went.
    rotating: Health,
}

/// Whether something worked the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Works,
    Fails,
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
        let count = jobs.len() as u64;
        let (entries, told) = self.sealed(jobs);
        let outcome = entries.and_then(|it| self.written(&it));
        self.writing.note(&outcome, "records cannot be written");
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
        let rotated = rotated.map(|_| ());
        self.rotating
            .note(&rotated, "no new file of records can be begun");
    }

    fn sealed(&mut self, jobs: Vec<Job>) -> (Result<Vec<Written>, StoreError>, Vec<Told>) {
        let mut entries = Vec::new();
        let mut all_told = Vec::new();
        for Job {
            facts,
            content,
            told,
        } in jobs
        {
            entries.push(Written::sealed(facts, &content, &mut self.subjects));
            all_told.push(told);
        }
        (entries.into_iter().collect(), all_told)
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
}

impl Health {
    /// Logs when `what` begins and when it is over, and not each time.
    fn note(&mut self, outcome: &Result<(), StoreError>, what: &str) {
        match (outcome, *self) {
            (Err(error), Self::Works) => tracing::error!("{what}: {error}"),
            (Ok(()), Self::Fails) => tracing::info!("no more: {what}"),
            _ => {}
        }
        *self = match outcome {
            Ok(()) => Self::Works,
            Err(_) => Self::Fails,
        };
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
