//! One tensor's bytes, mapped from the file for as long as they are looked at.

use std::fs::File;
use std::ops::Range;

use memmap2::{Mmap, MmapOptions};

/// A tensor's bytes, straight from the page cache. Dropping it unmaps them, so that a weight that
/// was repacked or copied to a device is not resident twice.
#[derive(Debug)]
#[must_use = "dropping this unmaps the bytes"]
pub struct MappedTensor {
    map: Mmap,
}

impl MappedTensor {
    /// The bytes, as the file has them, at an address aligned to at least 8.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

/// Maps the pages of `byte_range`, which lies within `file`.
#[expect(
    unsafe_code,
    reason = "the operating system cannot promise that nobody writes the file"
)]
pub(crate) fn map_range(file: &File, byte_range: &Range<u64>) -> std::io::Result<MappedTensor> {
    let bytes = usize::try_from(byte_range.end - byte_range.start)
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
    let mut options = MmapOptions::new();
    options.offset(byte_range.start).len(bytes);
    // SAFETY: the map is read-only, private and of a range that the caller has just compared with
    // the file's length. What Rust cannot know is that no other program changes the file while
    // the map lives. Our own downloads never write to a finished file but rename a new one into
    // place, which leaves this one's bytes alone, and maps live only while a tensor is repacked.
    // Whoever does write into the file in those moments gets wrong numbers or, by cutting it
    // short, a SIGBUS that ends the process; every byte is a valid `u8`, so no worse.
    let map = unsafe { options.map(file)? };
    Ok(MappedTensor { map })
}
