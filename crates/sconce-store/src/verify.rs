//! Whether a journal is as it was written.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use crate::StoreError;
use crate::entry::Facts;
use crate::journal::note;
use crate::reading::{Verified, read_all};

/// Reads the journal in `folder` in full. It may be in use.
///
/// # Errors
/// If a byte of it has changed, an entry or a segment is missing, or it cannot be read. A torn end is no
/// error.
pub fn verify(folder: &Path) -> Result<Verified, StoreError> {
    let mut open = HashMap::new();
    let mut closed = 0;
    let walk = read_all(folder, |facts, _, _, _| {
        closed += u64::from(matches!(facts, Facts::Closed(_)));
        note(&mut open, facts.clone());
        Ok(())
    })?;
    let chain = walk
        .place
        .map_or_else(String::new, |it| hexadecimal(&it.chain));
    Ok(Verified {
        segments: walk.segments,
        entries: walk.entries,
        bytes: walk.bytes,
        open: open.len() as u64,
        closed,
        torn_bytes: walk.torn_bytes,
        chain,
    })
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _never = write!(text, "{byte:02x}");
        text
    })
}
