//! The journal as its one writer has it: the last segment, its end, and what is open.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use crate::entry::{Facts, Opened, RecordId};
use crate::folder::{Folder, Lock};
use crate::frame::{Chain, HEAD_BYTES, Head, write_entry};
use crate::reading::{damaged, facts_of, open_segment};
use crate::segment::ReadFault;
use crate::subjects::Subjects;
use crate::{StoreError, clock};

/// Content that is longer is not kept: an entry has a limit. No request or answer comes near it.
const CONTENT_BYTES_MAX: usize = 32 << 20;

/// Where the next entries go.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: Folder,
    segment_bytes_max: u64,
    number: u64,
    file: Arc<File>,
    head: Head,
    /// All bytes before it are whole entries.
    end: u64,
    sequence: u64,
    chain: Chain,
    open: HashMap<RecordId, Opened>,
    /// Whether there may be bytes after `end` that a failed write has left.
    is_ragged: bool,
    _lock: Lock,
}

impl Journal {
    /// Opens the journal in `folder`, or begins one. Cuts off what a write left that was cut short, and
    /// closes what was open when the last process ended.
    pub(crate) fn open(path: &Path, segment_bytes_max: u64) -> Result<Self, StoreError> {
        let folder = Folder::made(path)?;
        let lock = folder.lock()?;
        let mut journal = match folder.segments()?.last() {
            None => Self::begin(folder, lock, segment_bytes_max)?,
            Some(number) => Self::resume(folder, lock, *number, segment_bytes_max)?,
        };
        journal.close_interrupted()?;
        Ok(journal)
    }

    fn begin(folder: Folder, lock: Lock, segment_bytes_max: u64) -> Result<Self, StoreError> {
        let mut chain_before = [0; 32];
        getrandom::fill(&mut chain_before).map_err(|error| StoreError::Randomness {
            fact: error.to_string(),
        })?;
        let head = Head {
            first_sequence: 1,
            chain_before,
        };
        let file = new_segment(&folder, 1, &head, &[])?;
        Ok(Self {
            folder,
            segment_bytes_max,
            number: 1,
            file: Arc::new(file),
            head,
            end: HEAD_BYTES as u64,
            sequence: 1,
            chain: chain_before,
            open: HashMap::new(),
            is_ragged: false,
            _lock: lock,
        })
    }

    fn resume(
        folder: Folder,
        lock: Lock,
        number: u64,
        segment_bytes_max: u64,
    ) -> Result<Self, StoreError> {
        let path = folder.segment(number);
        let mut reader = open_segment(&path)?;
        let mut open = HashMap::new();
        let torn = loop {
            match reader.next() {
                Ok(Some(entry)) => note(&mut open, facts_of(&entry, &path)?.0),
                Ok(None) => break None,
                Err(ReadFault::Torn(fact)) => break Some(fact),
                Err(fault) => return Err(damaged(&path, reader.place().offset, fault)),
            }
        };
        let place = reader.place();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path);
        let file = file.map_err(StoreError::system("open", &path))?;
        if let Some(fact) = torn {
            let kept = path.with_extension(format!("cut-{}", place.offset));
            let bytes = cut(&file, place.offset, &kept)?;
            tracing::warn!(
                segment = %path.display(), offset = place.offset, bytes, %fact, kept = %kept.display(),
                "the last write was not finished; what it left was cut off"
            );
        }
        Ok(Self {
            folder,
            segment_bytes_max,
            number,
            file: Arc::new(file),
            head: reader.head(),
            end: place.offset,
            sequence: place.sequence,
            chain: place.chain,
            open,
            is_ragged: false,
            _lock: lock,
        })
    }

    fn close_interrupted(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let at_ms = clock::now_ms();
        let mut open: Vec<Opened> = self.open.values().cloned().collect();
        open.sort_by_key(|it| (it.at_ms, it.id));
        tracing::warn!(
            requests = open.len(),
            "requests were open when the last process ended; their records say `interrupted` now"
        );
        let closed = open.iter().map(|it| Facts::Closed(it.interrupted(at_ms)));
        let entries: Vec<Written> = closed.map(Written::bare).collect();
        self.append(&entries)?;
        self.sync()
    }

    /// Writes entries, all or none of them. They are the kernel's when this returns: the process may
    /// die then, the machine may not.
    pub(crate) fn append(&mut self, entries: &[Written]) -> Result<u64, StoreError> {
        self.tidy()?;
        let mut bytes = Vec::new();
        let (mut sequence, mut chain) = (self.sequence, self.chain);
        for entry in entries {
            chain = write_entry(&mut bytes, &self.head, sequence, &chain, &entry.payload);
            sequence += 1;
        }
        self.is_ragged = true;
        let mut file = self.file.as_ref();
        file.seek(SeekFrom::Start(self.end))
            .and_then(|_| file.write_all(&bytes))
            .map_err(|error| self.failed("write", error))?;
        self.is_ragged = false;
        self.end += bytes.len() as u64;
        (self.sequence, self.chain) = (sequence, chain);
        for entry in entries {
            note(&mut self.open, entry.facts.clone());
        }
        Ok(bytes.len() as u64)
    }

    /// Cuts off what a write left that failed midway.
    fn tidy(&mut self) -> Result<(), StoreError> {
        if self.is_ragged {
            let cut = self.file.set_len(self.end);
            cut.map_err(|error| self.failed("cut", error))?;
            self.is_ragged = false;
        }
        Ok(())
    }

    /// Begins a new segment once the last one is full.
    pub(crate) fn rotate_if_full(&mut self) -> Result<bool, StoreError> {
        if self.end < self.segment_bytes_max {
            return Ok(false);
        }
        // What comes after must not outlast what was before.
        self.sync()?;
        let head = Head {
            first_sequence: self.sequence,
            chain_before: self.chain,
        };
        let mut open: Vec<Opened> = self.open.values().cloned().collect();
        open.sort_by_key(|it| (it.at_ms, it.id));
        let mut first = Vec::new();
        let payload = Facts::payload(&Facts::Carried(open).bytes(), &[]);
        let chain = write_entry(&mut first, &head, self.sequence, &self.chain, &payload);
        let file = new_segment(&self.folder, self.number + 1, &head, &first)?;
        self.number += 1;
        self.file = Arc::new(file);
        self.head = head;
        self.end = (HEAD_BYTES + first.len()) as u64;
        self.sequence += 1;
        self.chain = chain;
        Ok(true)
    }

    /// Waits until all that was written would outlast a loss of power.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.file.sync_data();
        synced.map_err(|error| self.failed("sync", error))
    }

    /// The file that entries go to now.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    fn failed(&self, what: &'static str, error: std::io::Error) -> StoreError {
        StoreError::system(what, &self.folder.segment(self.number))(error)
    }
}

/// An entry that is to be written.
#[derive(Debug)]
pub(crate) struct Written {
    facts: Facts,
    payload: Vec<u8>,
}

impl Written {
    /// An entry with nothing sealed.
    pub(crate) fn bare(facts: Facts) -> Self {
        let payload = Facts::payload(&facts.bytes(), &[]);
        Self { facts, payload }
    }

    /// An entry that has `content` under the seal of its tenant.
    pub(crate) fn sealed(
        facts: Facts,
        content: &[u8],
        subjects: &mut Subjects,
    ) -> Result<Self, StoreError> {
        if content.is_empty() || content.len() > CONTENT_BYTES_MAX {
            return Ok(Self::bare(facts));
        }
        let bytes = facts.bytes();
        let sealed = subjects.seal(facts.tenant(), content, &bytes)?;
        let payload = Facts::payload(&bytes, &sealed);
        Ok(Self { facts, payload })
    }
}

/// Keeps track of what is open.
pub(crate) fn note(open: &mut HashMap<RecordId, Opened>, facts: Facts) {
    match facts {
        Facts::Opened(opened) => {
            open.insert(opened.id, opened);
        }
        Facts::Closed(closed) => {
            open.remove(&closed.id);
        }
        Facts::Carried(carried) => {
            *open = carried.into_iter().map(|it| (it.id, it)).collect();
        }
    }
}

/// Takes what is behind `end` out of a segment and puts it into a file of its own.
fn cut(mut segment: &File, end: u64, kept: &Path) -> Result<u64, StoreError> {
    let mut rest = Vec::new();
    segment
        .seek(SeekFrom::Start(end))
        .and_then(|_| segment.read_to_end(&mut rest))
        .and_then(|_| std::fs::write(kept, &rest))
        .map_err(StoreError::system("write", kept))?;
    segment
        .set_len(end)
        .and_then(|()| segment.sync_all())
        .map_err(StoreError::system("cut the segment beside", kept))?;
    Ok(rest.len() as u64)
}

/// Makes a segment with its head and first entries. It has its name only once it is whole.
fn new_segment(
    folder: &Folder,
    number: u64,
    head: &Head,
    entries: &[u8],
) -> Result<File, StoreError> {
    let path = folder.segment(number);
    let making = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(&making)
        .map_err(StoreError::system("make", &making))?;
    file.write_all(&head.encoded())
        .and_then(|()| file.write_all(entries))
        .and_then(|()| file.sync_all())
        .map_err(StoreError::system("write", &making))?;
    std::fs::rename(&making, &path).map_err(StoreError::system("make", &path))?;
    folder.sync()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify;

    fn opened(number: u64) -> Written {
        Written::bare(Facts::Opened(Opened {
            id: RecordId(number),
            at_ms: 0,
            kind: "chat".to_owned(),
            tenant: "shared".to_owned(),
            key: None,
        }))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error_and_writing_goes_on_where_it_stood_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), u64::MAX).unwrap();
        journal.append(&[opened(1)]).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut journal.file, Arc::new(full));
        for _ in 0..2 {
            let error = journal.append(&[opened(2)]).unwrap_err();
            assert!(matches!(error, StoreError::System { .. }), "{error}");
        }
        // What a write leaves that filled the disk and got half of its bytes there.
        let path = folder.path().join("00000001.journal");
        let mut ragged = OpenOptions::new().append(true).open(&path).unwrap();
        ragged.write_all(&[1, 2, 3]).unwrap();
        journal.file = file;
        journal.append(&[opened(3)]).unwrap();
        drop(journal);
        let verified = verify(folder.path()).unwrap();
        assert_eq!((verified.entries, verified.torn_bytes), (2, 0));
    }

    #[test]
    fn a_file_that_cannot_be_followed_by_another_takes_more_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), 1).unwrap();
        let obstacle = folder.path().join("00000002.new");
        std::fs::create_dir(&obstacle).unwrap();
        for number in 0..3 {
            journal.append(&[opened(number)]).unwrap();
            assert!(journal.rotate_if_full().is_err());
        }
        std::fs::remove_dir(obstacle).unwrap();
        assert!(journal.rotate_if_full().unwrap());
        journal.append(&[opened(4)]).unwrap();
        drop(journal);
        let verified = verify(folder.path()).unwrap();
        assert_eq!(
            (verified.segments, verified.entries, verified.open),
            (2, 5, 4)
        );
    }
}
