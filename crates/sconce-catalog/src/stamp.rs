//! A note beside a cached file that says it was checked, so that a start need not read it all.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// How much is known about a file's content, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Its sha256 is the one that the card or the hub states.
    Sha256,
    /// The hub stated a size but no sha256, and the size is right.
    SizeOnly,
    /// Nobody stated anything: a file that the user named.
    Unchecked,
}

/// What was found when the file was last read in full. Valid while size and time stay the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    modified_ns: i64,
    #[serde(serialize_with = "as_text")]
    pub(crate) sha256: Sha256Digest,
    pub(crate) integrity: Integrity,
    /// Where the file came from, for people.
    pub(crate) origin: String,
}

fn as_text<S: serde::Serializer>(digest: &Sha256Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

impl Stamp {
    /// A stamp for the file that `metadata` describes.
    pub(crate) fn new(metadata: &Metadata, sha256: Sha256Digest, integrity: Integrity) -> Self {
        Self {
            bytes: metadata.len(),
            modified_ns: modified_ns(metadata),
            sha256,
            integrity,
            origin: String::from("found in place"),
        }
    }

    /// Whether the file is still the one that was read.
    pub(crate) fn describes(&self, metadata: &Metadata) -> bool {
        self.bytes == metadata.len() && self.modified_ns == modified_ns(metadata)
    }

    /// A stamp that is missing or unreadable is none: the file is then read again.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        toml::from_str(&fs::read_to_string(path).ok()?).ok()
    }

    /// Replaces the stamp at `path` at once, never by halves.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let new = path.with_extension("stamp-new");
        fs::write(&new, text)?;
        fs::rename(new, path)
    }
}

/// Zero where the file system keeps no time, which only makes the stamp trust the size alone.
fn modified_ns(metadata: &Metadata) -> i64 {
    metadata
        .modified()
        .ok()
        .and_then(|it| it.duration_since(UNIX_EPOCH).ok())
        .and_then(|it| i64::try_from(it.as_nanos()).ok())
        .unwrap_or(0)
}
