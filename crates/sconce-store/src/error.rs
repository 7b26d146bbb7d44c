//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process writes to the journal.
    #[error(
        "the records in {} are being written by another process; stop it, or choose another folder",
        path.display()
    )]
    Locked {
        /// The journal's folder.
        path: PathBuf,
    },
    /// Bytes in the middle of the journal are not those that were written.
    #[error(
        "{} is damaged at byte {offset}: {fact}; bring the file back from a copy, or move the folder \
         away to begin a new journal",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the entry begins that is not whole.
        offset: u64,
        /// What is wrong with it.
        fact: String,
    },
    /// A segment is missing between two others.
    #[error("the journal lacks {}, which stood between two others; bring it back from a copy", path.display())]
    Gap {
        /// The segment that should be there.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {fact}")]
    Randomness {
        /// What it says.
        fact: String,
    },
}

impl StoreError {
    /// For `map_err`: what was tried with what.
    pub(crate) fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { what, path, source }
    }
}
