//! The journal's folder: its lock, and its segments in their order.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::StoreError;

const LOCK: &str = "lock";
const ENDING: &str = "journal";

/// A folder that holds a journal.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// Held by the one process that writes to a journal.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file would not do: a child that is just being started holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of a journal could not be given back");
        }
    }
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder unless it is there; nobody but its owner can look into a new one.
    pub(crate) fn made(path: &Path) -> Result<Self, StoreError> {
        if !path.is_dir() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder
                .create(path)
                .map_err(StoreError::system("make the folder", path))?;
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.0.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options
            .open(&path)
            .map_err(StoreError::system("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
                path: self.0.clone(),
            }),
            Err(TryLockError::Error(error)) => Err(StoreError::system("lock", &path)(error)),
        }
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.{ENDING}"))
    }

    /// The numbers of all segments, in order.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, StoreError> {
        let failed = |error| StoreError::system("list", &self.0)(error);
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|it| it == ENDING)
                && let Some(number) = path.file_stem().and_then(|it| it.to_str()?.parse().ok())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            if pair[1] != pair[0] + 1 {
                let path = self.segment(pair[0] + 1);
                return Err(StoreError::Gap { path });
            }
        }
        Ok(numbers)
    }

    /// Makes what was created, renamed or removed here outlast a loss of power.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let synced = File::open(&self.0).and_then(|it| it.sync_all());
        synced.map_err(StoreError::system("sync the folder", &self.0))
    }
}
