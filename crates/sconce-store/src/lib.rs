//! What must survive: a record of every request, in a journal that a killed process cannot lose.
//!
//! A record is two entries. `opened` is written before a request is admitted, `closed` before the last
//! byte of its answer leaves. Entries go to the end of a file ([`Recorder`], one thread), framed by a
//! checksum and chained by hashes (`frame.rs`). A start cuts off what a write left that was cut short,
//! and closes what was open as `interrupted`; any other byte that has changed is an error that names the
//! file and the place.
//!
//! What was said, where it is kept at all, lies sealed behind an entry's facts under a key of its tenant
//! (`subjects.rs`), and the chain goes over what is sealed: to destroy a key is to erase a tenant's words,
//! and breaks nothing.

mod clock;
mod content;
mod entry;
mod error;
mod folder;
mod frame;
mod journal;
mod reading;
mod recorder;
mod records;
mod segment;
mod subjects;
mod syncer;
mod verify;

pub use entry::{Closed, INTERRUPTED, NoRecordId, Opened, RecordId};
pub use error::StoreError;
pub use reading::Verified;
pub use recorder::{Durability, JournalOptions, JournalWatch, NotWritten, Recorder, Told};
pub use records::{Content, Record, RecordFilter, erase_subject, read_records};
pub use verify::verify;
