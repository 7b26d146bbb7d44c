//! A segment: one file of the journal, read entry by entry.

use std::io::{self, Read, Seek, SeekFrom};

use crate::frame::{Chain, FRAME_BYTES, Frame, HEAD_BYTES, Head, MARKER, Misframed, chained};

/// An entry as it lies in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) sequence: u64,
    /// Where it begins.
    pub(crate) offset: u64,
    pub(crate) payload: Vec<u8>,
}

/// Why the next entry of a segment cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFault {
    #[error("{0}")]
    System(#[from] io::Error),
    /// The bytes from here to the end are no whole entry, and no entry follows: what a write leaves that
    /// was cut off.
    #[error("{0}")]
    Torn(Misframed),
    /// The bytes here are no entry, and another one follows them.
    #[error("{0}, and whole entries follow")]
    Damaged(Misframed),
    #[error("the segment's head is not whole")]
    Head,
    #[error("the entry numbered {found} stands where {expected} should")]
    Sequence { expected: u64, found: u64 },
    #[error("the entry does not continue the chain of those before it")]
    Chain,
}

/// Reads a segment from its beginning.
#[derive(Debug)]
pub(crate) struct SegmentReader<F> {
    file: F,
    /// Bytes of the file when it was opened.
    bytes: u64,
    head: Head,
    offset: u64,
    sequence: u64,
    chain: Chain,
}

/// A place between two entries from which reading can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
}

impl<F: Read + Seek> SegmentReader<F> {
    pub(crate) fn open(mut file: F) -> Result<Self, ReadFault> {
        let bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut head = [0; HEAD_BYTES];
        if bytes < HEAD_BYTES as u64 {
            return Err(ReadFault::Head);
        }
        file.read_exact(&mut head)?;
        let head = Head::decoded(&head).ok_or(ReadFault::Head)?;
        Ok(Self {
            file,
            bytes,
            head,
            offset: HEAD_BYTES as u64,
            sequence: head.first_sequence,
            chain: head.chain_before,
        })
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Where the next entry begins or should.
    pub(crate) fn place(&self) -> Place {
        Place {
            offset: self.offset,
            sequence: self.sequence,
            chain: self.chain,
        }
    }

    /// Bytes from here to the end of the file as it was when it was opened.
    pub(crate) fn left(&self) -> u64 {
        self.bytes - self.offset
    }

    /// The next entry, or none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<RawEntry>, ReadFault> {
        let left = self.left();
        if left == 0 {
            return Ok(None);
        }
        let (frame, payload) = match self.framed(left)? {
            Ok(found) => found,
            Err(misframed) => return Err(self.judged(misframed)?),
        };
        if frame.sequence != self.sequence {
            return Err(ReadFault::Sequence {
                expected: self.sequence,
                found: frame.sequence,
            });
        }
        if frame.chain != chained(&self.chain, frame.sequence, &payload) {
            return Err(ReadFault::Chain);
        }
        let entry = RawEntry {
            sequence: frame.sequence,
            offset: self.offset,
            payload,
        };
        self.offset += (FRAME_BYTES + frame.payload_bytes) as u64;
        self.sequence += 1;
        self.chain = frame.chain;
        Ok(Some(entry))
    }

    fn framed(&mut self, left: u64) -> io::Result<Result<(Frame, Vec<u8>), Misframed>> {
        if left < FRAME_BYTES as u64 {
            return Ok(Err(Misframed::Short));
        }
        let mut frame = [0; FRAME_BYTES];
        self.file.read_exact(&mut frame)?;
        let frame = match Frame::decoded(&frame) {
            Ok(frame) => frame,
            Err(misframed) => return Ok(Err(misframed)),
        };
        if left < (FRAME_BYTES + frame.payload_bytes) as u64 {
            return Ok(Err(Misframed::Short));
        }
        let mut payload = vec![0; frame.payload_bytes];
        self.file.read_exact(&mut payload)?;
        Ok(match frame.check(&payload, &self.head) {
            Ok(()) => Ok((frame, payload)),
            Err(misframed) => Err(misframed),
        })
    }

    /// Whether what is no entry was cut off or changed: a cut leaves nothing behind it.
    fn judged(&mut self, misframed: Misframed) -> io::Result<ReadFault> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut rest = Vec::new();
        let left = self.left();
        self.file.by_ref().take(left).read_to_end(&mut rest)?;
        let is_entry = |at: &usize| is_entry(&rest[*at..], &self.head);
        // The first byte is where an entry was looked for already.
        let followed = (1..rest.len()).any(|at| rest[at..].starts_with(&MARKER) && is_entry(&at));
        Ok(match followed {
            true => ReadFault::Damaged(misframed),
            false => ReadFault::Torn(misframed),
        })
    }
}

fn is_entry(bytes: &[u8], segment: &Head) -> bool {
    let Ok(frame) = Frame::decoded(bytes) else {
        return false;
    };
    let payload = bytes[FRAME_BYTES..].get(..frame.payload_bytes);
    payload.is_some_and(|it| frame.check(it, segment).is_ok())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::frame::write_entry;

    const HEAD: Head = Head {
        first_sequence: 5,
        chain_before: [3; 32],
    };

    fn segment(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = HEAD.encoded().to_vec();
        let mut begins = Vec::new();
        let mut chain = HEAD.chain_before;
        for (sequence, payload) in (HEAD.first_sequence..).zip(payloads) {
            begins.push(bytes.len());
            chain = write_entry(&mut bytes, &HEAD, sequence, &chain, payload);
        }
        (bytes, begins)
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<ReadFault>) {
        let mut payloads = Vec::new();
        let mut reader = match SegmentReader::open(Cursor::new(bytes)) {
            Ok(reader) => reader,
            Err(fault) => return (payloads, Some(fault)),
        };
        loop {
            match reader.next() {
                Ok(Some(entry)) => payloads.push(entry.payload),
                Ok(None) => return (payloads, None),
                Err(fault) => return (payloads, Some(fault)),
            }
        }
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let payload = prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::vec(payload, 1..12)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(payloads in payloads()) {
            let (bytes, _) = segment(&payloads);
            let (found, fault) = read(&bytes);
            prop_assert_eq!(found, payloads);
            prop_assert!(fault.is_none());
        }

        #[test]
        fn a_cut_anywhere_loses_what_it_cuts_and_nothing_before_it(
            payloads in payloads(),
            cut in any::<prop::sample::Index>(),
        ) {
            let (bytes, begins) = segment(&payloads);
            let cut = HEAD_BYTES + cut.index(bytes.len() - HEAD_BYTES);
            let (found, fault) = read(&bytes[..cut]);
            let whole = begins[1..].iter().chain([&bytes.len()]).filter(|it| **it <= cut).count();
            prop_assert_eq!(&found[..], &payloads[..whole]);
            let is_between = cut == HEAD_BYTES || begins.contains(&cut);
            match fault {
                None => prop_assert!(is_between),
                Some(fault) => prop_assert!(matches!(fault, ReadFault::Torn(_)), "{}", fault),
            }
        }

        #[test]
        fn a_changed_byte_is_found_and_no_whole_entry_behind_it_is_taken_for_a_cut(
            payloads in payloads(),
            at in any::<prop::sample::Index>(),
            change in 1..=u8::MAX,
        ) {
            let (mut bytes, begins) = segment(&payloads);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let (found, fault) = read(&bytes);
            let hit = begins.iter().rposition(|it| *it <= at);
            let fault = fault.expect("a changed byte is found");
            let Some(hit) = hit else {
                prop_assert!(matches!(fault, ReadFault::Head), "{}", fault);
                return Ok(());
            };
            prop_assert_eq!(&found[..], &payloads[..hit]);
            if hit + 1 < payloads.len() {
                prop_assert!(matches!(fault, ReadFault::Damaged(_)), "{}", fault);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            head in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
            marks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut all = if head { HEAD.encoded().to_vec() } else { Vec::new() };
            all.extend(bytes);
            for mark in marks {
                // Short lengths behind markers, so that some of them fit.
                let at = mark.index(all.len().max(1));
                let entry = [&MARKER[..], &[40, 0, 0, 0]].concat();
                let end = (at + entry.len()).min(all.len());
                all[at.min(end)..end].copy_from_slice(&entry[..end - at.min(end)]);
            }
            let _whatever = read(&all);
        }
    }

    #[test]
    fn an_entry_left_out_or_put_elsewhere_is_found() {
        let payloads: Vec<Vec<u8>> = (0..4).map(|it| vec![it; 9]).collect();
        let (bytes, begins) = segment(&payloads);
        let without = [&bytes[..begins[1]], &bytes[begins[2]..]].concat();
        let (found, fault) = read(&without);
        assert_eq!(found.len(), 1);
        assert!(matches!(
            fault,
            Some(ReadFault::Sequence {
                expected: 6,
                found: 7
            })
        ));
        let swapped = [
            &bytes[..begins[1]],
            &bytes[begins[2]..begins[3]],
            &bytes[begins[1]..begins[2]],
            &bytes[begins[3]..],
        ];
        assert!(matches!(
            read(&swapped.concat()).1,
            Some(ReadFault::Sequence { .. })
        ));
    }

    #[test]
    fn an_entry_that_somebody_changed_and_checksummed_anew_breaks_the_chain() {
        let (mut bytes, begins) = segment(&[vec![1; 9], vec![2; 9], vec![3; 9]]);
        let mut forged = Vec::new();
        write_entry(&mut forged, &HEAD, 6, &[8; 32], &[7; 9]);
        bytes[begins[1]..begins[2]].copy_from_slice(&forged);
        assert!(matches!(read(&bytes).1, Some(ReadFault::Chain)));
    }

    #[test]
    fn a_text_that_looks_like_an_entry_is_none() {
        // A client cannot know the chain before the segment, which the checksum begins with.
        let guess = Head {
            first_sequence: 5,
            chain_before: [0; 32],
        };
        let mut text = Vec::new();
        write_entry(&mut text, &guess, 6, &[0; 32], b"I am an entry");
        let (bytes, _) = segment(&[text]);
        let (found, fault) = read(&bytes[..bytes.len() - 1]);
        assert!(found.is_empty());
        assert!(matches!(fault, Some(ReadFault::Torn(_))));
    }
}
