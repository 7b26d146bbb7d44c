//! Reads a whole journal, entry by entry, and checks it on the way.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::entry::Facts;
use crate::folder::Folder;
use crate::segment::{Place, RawEntry, ReadFault, SegmentReader};

pub(crate) type FileReader = SegmentReader<BufReader<File>>;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What a journal holds, if it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Its segments.
    pub segments: u64,
    /// Its entries.
    pub entries: u64,
    /// Bytes of whole entries.
    pub bytes: u64,
    /// Requests that have begun and not ended: they run, or the process that ran them died.
    pub open: u64,
    /// Requests that have ended.
    pub closed: u64,
    /// Bytes at the end that are no whole entry: a write that runs, or that was cut off.
    pub torn_bytes: u64,
    /// What links the next entry to all of these, in hexadecimal digits. Whoever keeps it elsewhere can
    /// tell later whether anything before it has changed.
    pub chain: String,
}

pub(crate) fn open_segment(path: &Path) -> Result<FileReader, StoreError> {
    let file = File::open(path).map_err(StoreError::system("open", path))?;
    let buffered = BufReader::with_capacity(BUFFER_BYTES, file);
    SegmentReader::open(buffered).map_err(|fault| damaged(path, 0, fault))
}

pub(crate) fn damaged(path: &Path, offset: u64, fault: ReadFault) -> StoreError {
    match fault {
        ReadFault::System(source) => StoreError::system("read", path)(source),
        fault => StoreError::Damaged {
            path: path.to_owned(),
            offset,
            fact: fault.to_string(),
        },
    }
}

pub(crate) fn facts_of<'a>(
    entry: &'a RawEntry,
    path: &Path,
) -> Result<(Facts, &'a [u8]), StoreError> {
    Facts::read(&entry.payload).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        offset: entry.offset,
        fact: error.to_string(),
    })
}

/// Reads the journal in `path` in full, whether or not it is being written. `each` is told every entry
/// with the segment that it stands in.
///
/// # Errors
/// If anything in it is not as it was written, or `each` fails.
pub(crate) fn read_all(
    path: &Path,
    mut each: impl FnMut(&Facts, &[u8], &RawEntry, u64) -> Result<(), StoreError>,
) -> Result<Walk, StoreError> {
    let folder = Folder::new(path);
    let numbers = folder.segments()?;
    let mut walk = Walk::default();
    for (index, number) in numbers.iter().enumerate() {
        let path = folder.segment(*number);
        let mut reader = open_segment(&path)?;
        walk.enter(&path, &reader, index + 1 == numbers.len())?;
        while let Some(entry) = walk.next(&mut reader)? {
            let (facts, sealed) = facts_of(&entry, &path)?;
            each(&facts, sealed, &entry, *number)?;
        }
    }
    Ok(walk)
}

/// How far a journal was read.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    path: PathBuf,
    is_last: bool,
    pub(crate) place: Option<Place>,
    pub(crate) segments: u64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) torn_bytes: u64,
}

impl Walk {
    fn enter(&mut self, path: &Path, reader: &FileReader, is_last: bool) -> Result<(), StoreError> {
        let begins = reader.place();
        if let Some(before) = self.place
            && (before.sequence, before.chain) != (begins.sequence, begins.chain)
        {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                offset: 0,
                fact: "it does not continue the chain of the segment before it".to_owned(),
            });
        }
        self.segments += 1;
        self.is_last = is_last;
        path.clone_into(&mut self.path);
        self.place = Some(begins);
        Ok(())
    }

    fn next(&mut self, reader: &mut FileReader) -> Result<Option<RawEntry>, StoreError> {
        match reader.next() {
            Ok(Some(entry)) => {
                self.entries += 1;
                self.bytes += reader.place().offset - entry.offset;
                self.place = Some(reader.place());
                Ok(Some(entry))
            }
            Ok(None) => Ok(None),
            Err(ReadFault::Torn(_)) if self.is_last => {
                self.torn_bytes = reader.left();
                Ok(None)
            }
            Err(fault) => Err(damaged(&self.path, reader.place().offset, fault)),
        }
    }
}
