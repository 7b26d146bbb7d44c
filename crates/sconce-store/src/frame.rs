//! How an entry lies in a segment: framed, checked and chained. Pure.
//!
//! ```text
//! segment  "sconce-j" | version u32 | first sequence u64 | chain before it 32 | crc u32
//! entry    marker 4 | payload length u32 | crc u32 | sequence u64 | chain 32 | payload
//! ```
//!
//! Numbers are little-endian. The checksum is CRC-32C and finds what a disk or a cut has changed. It
//! begins with the segment's own chain, which no client knows: a text that looks like an entry is none.
//! The chain is the SHA-256 of the chain before it, the sequence number and the payload, and finds what
//! somebody has changed and checksummed anew, left out or put elsewhere.

use crc_fast::{CrcAlgorithm, Digest as Crc};
use sha2::{Digest, Sha256};

/// What links an entry to all before it.
pub(crate) type Chain = [u8; 32];

/// What an entry begins with, so that one can be looked for.
pub(crate) const MARKER: [u8; 4] = [0xa7, b'R', b'e', 0xc5];
/// Bytes of an entry before its payload.
pub(crate) const FRAME_BYTES: usize = 52;
/// Bytes of a segment before its first entry.
pub(crate) const HEAD_BYTES: usize = 56;
/// Bytes that a payload may have. A request's body is smaller.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"sconce-j";
const VERSION: u32 = 1;

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of its first entry, over all segments.
    pub(crate) first_sequence: u64,
    /// The chain of the last entry before it.
    pub(crate) chain_before: Chain,
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) payload_bytes: usize,
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
    crc: u32,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misframed {
    #[error("the file ends within an entry")]
    Short,
    #[error("no entry begins here")]
    Marker,
    #[error("an entry of {0} bytes is longer than any can be")]
    Length(usize),
    #[error("the checksum does not fit")]
    Checksum,
}

impl Head {
    pub(crate) fn encoded(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.chain_before);
        let crc = crc_of(&[&bytes[..52]]);
        bytes[52..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None if the bytes are no head, or one of another version.
    pub(crate) fn decoded(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let is_ours = bytes[..8] == MAGIC && bytes[8..12] == VERSION.to_le_bytes();
        let is_whole = bytes[52..] == crc_of(&[&bytes[..52]]).to_le_bytes();
        (is_ours && is_whole).then(|| Self {
            first_sequence: u64_at(bytes, 12),
            chain_before: chain_at(bytes, 20),
        })
    }
}

impl Frame {
    pub(crate) fn decoded(bytes: &[u8]) -> Result<Self, Misframed> {
        let bytes: &[u8; FRAME_BYTES] = bytes
            .get(..FRAME_BYTES)
            .and_then(|it| it.try_into().ok())
            .ok_or(Misframed::Short)?;
        if bytes[..4] != MARKER {
            return Err(Misframed::Marker);
        }
        let payload_bytes = u32_at(bytes, 4) as usize;
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(Misframed::Length(payload_bytes));
        }
        Ok(Self {
            payload_bytes,
            sequence: u64_at(bytes, 12),
            chain: chain_at(bytes, 20),
            crc: u32_at(bytes, 8),
        })
    }

    pub(crate) fn check(&self, payload: &[u8], segment: &Head) -> Result<(), Misframed> {
        let crc = entry_crc(segment, self.sequence, &self.chain, payload);
        match crc == self.crc {
            true => Ok(()),
            false => Err(Misframed::Checksum),
        }
    }
}

/// Appends an entry to `to`, and says what the next one is chained to.
pub(crate) fn write_entry(
    to: &mut Vec<u8>,
    segment: &Head,
    sequence: u64,
    before: &Chain,
    payload: &[u8],
) -> Chain {
    let chain = chained(before, sequence, payload);
    let crc = entry_crc(segment, sequence, &chain, payload);
    to.extend(MARKER);
    to.extend((payload.len() as u32).to_le_bytes());
    to.extend(crc.to_le_bytes());
    to.extend(sequence.to_le_bytes());
    to.extend(chain);
    to.extend_from_slice(payload);
    chain
}

/// The chain of an entry.
pub(crate) fn chained(before: &Chain, sequence: u64, payload: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(sequence.to_le_bytes());
    hash.update(payload);
    hash.finalize().into()
}

fn entry_crc(segment: &Head, sequence: u64, chain: &Chain, payload: &[u8]) -> u32 {
    crc_of(&[
        &segment.chain_before,
        &(payload.len() as u32).to_le_bytes(),
        &sequence.to_le_bytes(),
        chain,
        payload,
    ])
}

fn crc_of(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        crc.update(part);
    }
    crc.finalize() as u32
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn chain_at(bytes: &[u8], at: usize) -> Chain {
    array_at(bytes, at)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // The check value that catalogues of checksums give for CRC-32C (iSCSI).
        assert_eq!(crc_of(&[b"1234", b"56789"]), 0xe306_9283);
    }

    #[test]
    fn a_head_is_read_as_written_and_any_changed_byte_is_seen() {
        let head = Head {
            first_sequence: 77,
            chain_before: [9; 32],
        };
        let bytes = head.encoded();
        assert_eq!(Head::decoded(&bytes), Some(head));
        for at in 0..HEAD_BYTES {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Head::decoded(&changed), None, "byte {at}");
        }
    }
}
