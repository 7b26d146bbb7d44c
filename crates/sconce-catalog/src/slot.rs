//! One model's place in the cache: the file, its stamp, the staging folder and the lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task;

use crate::stamp::Stamp;
use crate::{CatalogError, FetchProgress, Integrity, ProgressSink, Sha256Digest};

/// How often a process that waits for another's download looks again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A model's place in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    folder: PathBuf,
    file: String,
}

/// What the content must be, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    pub(crate) bytes: Option<u64>,
    pub(crate) sha256: Option<Sha256Digest>,
}

/// A whole file in the staging folder that waits to be checked.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) path: PathBuf,
    pub(crate) expected: Expected,
    pub(crate) origin: String,
}

impl Slot {
    pub(crate) fn new(folder: PathBuf, file: &str) -> Self {
        Self {
            folder,
            file: file.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The folder of unfinished downloads, beside the file so that a rename is atomic.
    pub(crate) fn staging(&self) -> PathBuf {
        self.folder.join(format!(".{}.staging", self.file))
    }

    fn stamp_path(&self) -> PathBuf {
        self.folder.join(format!("{}.stamp", self.file))
    }

    /// Whether the file has the expected size and a stamp that still describes it. Reads no content.
    pub(crate) fn is_stamped(&self, expected: Expected) -> bool {
        let (Ok(metadata), Some(stamp)) =
            (fs::metadata(self.path()), Stamp::read(&self.stamp_path()))
        else {
            return false;
        };
        stamp.describes(&metadata)
            && expected.bytes.is_none_or(|it| it == metadata.len())
            && expected.sha256.is_none_or(|it| it == stamp.sha256)
    }

    /// The file's integrity if it is there and sound; `None` if it has to be fetched. It is read
    /// in full unless a stamp tells that this was done.
    pub(crate) async fn find(
        &self,
        expected: Expected,
        progress: ProgressSink<'_>,
    ) -> Result<Option<Integrity>, CatalogError> {
        if !self.path().is_file() {
            return Ok(None);
        }
        let stamp = Stamp::read(&self.stamp_path());
        match stamp {
            Some(stamp) if self.is_stamped(expected) => Ok(Some(stamp.integrity)),
            // A file of the hub without a stamp: nobody can tell whether it is whole.
            None if expected.sha256.is_none() => Ok(None),
            _ => self.check(expected, progress).await.map(Some),
        }
    }

    /// Reads the file in full and compares it with what is expected or was once found.
    pub(crate) async fn check(
        &self,
        expected: Expected,
        progress: ProgressSink<'_>,
    ) -> Result<Integrity, CatalogError> {
        let path = self.path();
        let stamp = Stamp::read(&self.stamp_path());
        let metadata = fs::metadata(&path).map_err(CatalogError::io("look at", &path))?;
        let found = metadata.len();
        let bytes = expected.bytes.or(stamp.as_ref().map(|it| it.bytes));
        if let Some(expected) = bytes.filter(|it| *it != found) {
            return Err(CatalogError::WrongSize {
                path,
                found,
                expected,
            });
        }
        progress(FetchProgress::Verifying { bytes_total: found });
        let sha256 = digest_of(&path).await?;
        let wanted = expected.sha256.or(stamp.as_ref().map(|it| it.sha256));
        if let Some(expected) = wanted.filter(|it| *it != sha256) {
            return Err(CatalogError::WrongSha256 {
                path,
                found: sha256,
                expected,
            });
        }
        let integrity = match (expected.sha256, &stamp) {
            (Some(_), _) => Integrity::Sha256,
            (None, Some(stamp)) => stamp.integrity,
            (None, None) => Integrity::Unchecked,
        };
        let mut renewed = Stamp::new(&metadata, sha256, integrity);
        if let Some(stamp) = stamp {
            renewed.origin = stamp.origin;
        }
        // A cache that cannot be written to can still be served from; it is only read anew.
        if let Err(error) = renewed.write(&self.stamp_path()) {
            tracing::warn!(path = %path.display(), %error, "the check of a model file is not noted");
        }
        Ok(integrity)
    }

    /// Waits until nobody else fetches this model. The lock ends with the returned file.
    pub(crate) async fn lock(&self, progress: ProgressSink<'_>) -> Result<File, CatalogError> {
        fs::create_dir_all(&self.folder).map_err(CatalogError::io("make", &self.folder))?;
        let path = self.folder.join(format!(".{}.lock", self.file));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(CatalogError::io("open", &path))?;
        let mut has_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if has_told => {}
                Err(TryLockError::WouldBlock) => {
                    has_told = true;
                    progress(FetchProgress::Waiting);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(CatalogError::io("lock", &path)(error));
                }
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Checks a staged file and gives it its final name. On error no file has that name.
    pub(crate) async fn adopt(
        &self,
        staged: Staged,
        progress: ProgressSink<'_>,
    ) -> Result<Integrity, CatalogError> {
        let Staged {
            path: staged_path,
            expected,
            origin,
        } = staged;
        let metadata =
            fs::metadata(&staged_path).map_err(CatalogError::io("look at", &staged_path))?;
        let found = metadata.len();
        if let Some(expected) = expected.bytes.filter(|it| *it != found) {
            remove_file(&staged_path)?;
            return Err(CatalogError::FetchedSize {
                origin,
                found,
                expected,
            });
        }
        progress(FetchProgress::Verifying { bytes_total: found });
        let sha256 = digest_of(&staged_path).await?;
        if let Some(expected) = expected.sha256.filter(|it| *it != sha256) {
            remove_file(&staged_path)?;
            return Err(CatalogError::FetchedSha256 {
                origin,
                found: sha256,
                expected,
            });
        }
        let integrity = match expected {
            Expected {
                sha256: Some(_), ..
            } => Integrity::Sha256,
            Expected { bytes: Some(_), .. } => Integrity::SizeOnly,
            Expected { .. } => Integrity::Unchecked,
        };
        let mut stamp = Stamp::new(&metadata, sha256, integrity);
        stamp.origin = origin;
        // The stamp first: a stamp without a file says nothing, a file of a hub without a stamp
        // would have to be fetched again.
        let stamp_path = self.stamp_path();
        stamp
            .write(&stamp_path)
            .map_err(CatalogError::io("write", &stamp_path))?;
        let path = self.path();
        fs::rename(&staged_path, &path).map_err(CatalogError::io("write", &path))?;
        let staging = self.staging();
        if let Err(error) = fs::remove_dir_all(&staging) {
            tracing::warn!(path = %staging.display(), %error, "a staging folder is left behind");
        }
        Ok(integrity)
    }
}

async fn digest_of(path: &Path) -> Result<Sha256Digest, CatalogError> {
    let owned = path.to_path_buf();
    in_background(move || Sha256Digest::of_file(&owned))
        .await
        .map_err(CatalogError::io("read", path))
}

/// Runs work that blocks where it holds up no other task.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn remove_file(path: &Path) -> Result<(), CatalogError> {
    fs::remove_file(path).map_err(CatalogError::io("delete", path))
}
