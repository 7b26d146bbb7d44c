//! A weights file that must stay as it was when its header was checked.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::gguf::{MappedTensor, map_range};
use crate::load_error::{LoadError, LoadFault};

/// An open file and what it looked like.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    handle: File,
    stamp: Stamp,
}

/// What a file must still look like for its validated header to mean anything.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file_bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(handle: &File) -> std::io::Result<Self> {
        let found = handle.metadata()?;
        Ok(Self {
            file_bytes: found.len(),
            modified: found.modified().ok(),
        })
    }
}

impl WatchedFile {
    /// Opens a file and notes how long and how old it is.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let handle = File::open(path)?;
        let stamp = Stamp::of(&handle)?;
        Ok(Self {
            path: path.to_owned(),
            handle,
            stamp,
        })
    }

    /// The path it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, to read from its beginning.
    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }

    /// The file's length.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.stamp.file_bytes
    }

    /// Maps a range that lies within the file. Refuses if the file is not as long or as old as when it
    /// was opened.
    pub(crate) fn map(&self, byte_range: &Range<u64>) -> Result<MappedTensor, LoadError> {
        let map = || {
            if Stamp::of(&self.handle)? != self.stamp {
                return Err(LoadFault::Changed);
            }
            Ok(map_range(&self.handle, byte_range)?)
        };
        map().map_err(|fault| fault.in_file(&self.path))
    }
}
