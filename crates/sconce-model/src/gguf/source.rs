//! Reads a header front to back, never past the file's end, and keeps what was read.

use std::io::Read;

use crate::load_error::LoadFault;

/// The longest header that is read. The largest public vocabularies need about a tenth of it.
const HEADER_BYTES_MAX: u64 = 256 << 20;

/// A file being read from its beginning. What was validated is kept and parsed again from memory,
/// so that a file changed in between cannot slip past the checks.
pub(super) struct Source<R> {
    reader: R,
    file_bytes: u64,
    seen: Vec<u8>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R, file_bytes: u64) -> Self {
        Self {
            reader,
            file_bytes,
            seen: Vec::new(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn into_seen(self) -> Vec<u8> {
        self.seen
    }

    /// Refuses `what` unless the file has `wanted` more bytes and the header may grow by them.
    pub(super) fn require(&self, what: &'static str, wanted: u64) -> Result<(), LoadFault> {
        let at = self.position();
        let left = self.file_bytes.saturating_sub(at);
        if wanted > left {
            return Err(LoadFault::HeaderCutOff {
                what,
                at,
                wanted,
                left,
            });
        }
        let header_bytes = at.saturating_add(wanted);
        if header_bytes > HEADER_BYTES_MAX {
            let what = "the header's length".to_owned();
            return Err(LoadFault::TooLarge {
                what,
                found: header_bytes,
                limit: HEADER_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// The next `wanted` bytes. Memory grows with what the file holds, not with what it claims.
    pub(super) fn take(&mut self, what: &'static str, wanted: u64) -> Result<&[u8], LoadFault> {
        self.require(what, wanted)?;
        let start = self.seen.len();
        let read = self
            .reader
            .by_ref()
            .take(wanted)
            .read_to_end(&mut self.seen)? as u64;
        if read < wanted {
            return Err(LoadFault::HeaderCutOff {
                what,
                at: start as u64,
                wanted,
                left: read,
            });
        }
        Ok(&self.seen[start..])
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, LoadFault> {
        let mut number = [0; 4];
        number.copy_from_slice(self.take(what, 4)?);
        Ok(u32::from_le_bytes(number))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, LoadFault> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(what, 8)?);
        Ok(u64::from_le_bytes(number))
    }

    /// A length, then that many bytes of UTF-8.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&str, LoadFault> {
        let length = self.u64(what)?;
        let at = self.position();
        std::str::from_utf8(self.take(what, length)?).map_err(|_| LoadFault::Text {
            what,
            at,
            fault: "not valid UTF-8",
        })
    }

    /// A text that names something. candle drops NULs at a name's end, which would make two names
    /// one, so they are refused.
    pub(super) fn name(&mut self, what: &'static str) -> Result<String, LoadFault> {
        let at = self.position();
        let name = self.text(what)?;
        if name.is_empty() {
            return Err(LoadFault::Text {
                what,
                at,
                fault: "empty",
            });
        }
        if name.contains('\0') {
            return Err(LoadFault::Text {
                what,
                at,
                fault: "a text with a NUL in it",
            });
        }
        Ok(name.to_owned())
    }
}
