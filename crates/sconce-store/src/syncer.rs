//! Has the disk write what the kernel was given, every 50 ms while there is something new.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::recorder::JournalWatch;

/// How long what was written waits for the disk at most, its own time apart.
const INTERVAL: Duration = Duration::from_millis(50);

/// A thread that waits for the disk, so that the writer need not.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    asked: Mutex<Asked>,
    changed: Condvar,
    watch: Arc<dyn JournalWatch>,
}

#[derive(Debug, Default)]
struct Asked {
    /// The segment with something new, and since when.
    file: Option<(Arc<File>, Instant)>,
    is_over: bool,
}

impl Syncer {
    pub(crate) fn start(watch: Arc<dyn JournalWatch>, folder: &Path) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            changed: Condvar::new(),
            watch,
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sconce-sync".to_owned())
            .spawn(move || of_thread.run())
            .map_err(StoreError::system("start a thread to sync", folder))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Something new is in `file`, which is the newest segment: those before it are synced when it is
    /// made.
    pub(crate) fn sync_soon(&self, file: Arc<File>) {
        let mut asked = self.shared.lock();
        let since = asked
            .file
            .take()
            .map_or_else(Instant::now, |(_, since)| since);
        asked.file = Some((file, since));
        self.shared.changed.notify_one();
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(file) = self.due() {
            let since = Instant::now();
            match file.sync_data() {
                Ok(()) => self.watch.synced(since.elapsed().as_secs_f64()),
                Err(error) => {
                    self.watch.failed(0);
                    tracing::error!("records may not outlast a loss of power: {error}");
                }
            }
        }
    }

    /// What is to be synced, once it is time. None when the journal is closed.
    fn due(&self) -> Option<Arc<File>> {
        let mut asked = self.lock();
        loop {
            if asked.is_over {
                return None;
            }
            let left = match &asked.file {
                Some((_, since)) => INTERVAL.checked_sub(since.elapsed()),
                None => Some(Duration::MAX),
            };
            let Some(left) = left.filter(|it| !it.is_zero()) else {
                return asked.file.take().map(|(file, _)| file);
            };
            let woken = self.changed.wait_timeout(asked, left);
            asked = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
