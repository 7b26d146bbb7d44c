//! The journal from outside: what it keeps, what it survives, what it notices.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

mod damage;
mod kills;
mod sealing;
mod writing;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use sconce_domain::{ClosedRecord, OpenedRecord, RequestId, TenantId, TokenCount, Usage};
use sconce_store::{Durability, JournalOptions, JournalWatch, NotWritten, Recorder, Told};

/// Counts what it is told.
#[derive(Debug, Default)]
struct Counts {
    entries: AtomicU64,
    syncs: AtomicU64,
    failures: AtomicU64,
}

impl JournalWatch for Counts {
    fn wrote(&self, entries: u64, _: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    fn synced(&self, _: f64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, entries: u64) {
        self.failures.fetch_add(entries, Ordering::Relaxed);
    }
}

fn options(folder: &Path) -> JournalOptions {
    JournalOptions {
        durability: Durability::Process,
        ..JournalOptions::new(folder.to_owned())
    }
}

fn start(options: &JournalOptions) -> Recorder {
    Recorder::start(options, Arc::new(Counts::default())).unwrap()
}

fn opened(number: u64) -> OpenedRecord {
    OpenedRecord {
        id: RequestId(number),
        kind: "chat",
        tenant: TenantId::shared(),
        key: Some("web".into()),
        input: None,
    }
}

fn closed(number: u64) -> ClosedRecord {
    ClosedRecord {
        id: RequestId(number),
        kind: "chat",
        tenant: TenantId::shared(),
        key: Some("web".into()),
        model: Some("tiny".into()),
        end: "stop",
        refusal: None,
        failure: None,
        usage: Usage {
            prompt: TokenCount(7),
            cached: TokenCount(0),
            completion: TokenCount(11),
        },
        ttft_ms: Some(3),
        total_ms: 20,
        output: None,
    }
}

/// Waits until an entry is written, or could not be.
fn wait(write: impl FnOnce(Told)) -> Result<(), NotWritten> {
    let (tell, told) = mpsc::channel();
    write(Box::new(move |outcome| tell.send(outcome).unwrap()));
    told.recv().unwrap()
}

fn open_and_close(recorder: &Recorder, number: u64) {
    wait(|told| recorder.open(&opened(number), told)).unwrap();
    wait(|told| recorder.close(&closed(number), told)).unwrap();
}
