//! The keys that content is sealed with: one a subject, in a file beside the journal.
//!
//! A line a key: its id, the key, its subject. Erasing a subject writes zeros over its keys where they
//! stand and has the disk write them; what was sealed with them can never be read again, and the journal
//! stays as it is. Servers look at the file before they seal and notice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::verify::hexadecimal;

/// The file's name in the journal's folder.
const FILE: &str = "subjects.keys";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Digits of an id, a space.
const KEY_AT: usize = 17;
const SUBJECT_AT: usize = KEY_AT + 2 * KEY_BYTES + 1;

/// What names a key.
type KeyId = u64;

/// Keys of subjects.
#[derive(Debug)]
pub(crate) struct Subjects {
    path: PathBuf,
    seen: Option<(u64, SystemTime)>,
    keys: HashMap<KeyId, SubjectKey>,
    /// The key that each subject's content is sealed with now.
    current: HashMap<String, KeyId>,
}

struct SubjectKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SubjectKey(not shown)")
    }
}

/// What became of sealed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// It can be read.
    Text(Vec<u8>),
    /// Its key has been destroyed.
    Erased,
    /// It is not what was sealed.
    Broken,
}

impl Subjects {
    /// The keys beside the journal in `folder`; none if there is no file yet.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut subjects = Self {
            path: folder.join(FILE),
            seen: None,
            keys: HashMap::new(),
            current: HashMap::new(),
        };
        subjects.refresh()?;
        Ok(subjects)
    }

    /// Seals what belongs to `subject`, bound to `facts`. The subject gets a key if it has none.
    pub(crate) fn seal(
        &mut self,
        subject: &str,
        content: &[u8],
        facts: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        self.refresh()?;
        let id = match self.current.get(subject) {
            Some(id) => *id,
            None => self.make(subject)?,
        };
        let key = self.keys.get(&id).expect("a current key is a known one");
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce)?;
        let payload = Payload {
            msg: content,
            aad: facts,
        };
        let sealed = key
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a content that fits memory can be sealed");
        Ok([&id.to_le_bytes()[..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed with `facts`.
    pub(crate) fn open_sealed(&self, sealed: &[u8], facts: &[u8]) -> Unsealed {
        let parts = sealed
            .split_first_chunk::<8>()
            .and_then(|(id, rest)| Some((id, rest.split_first_chunk::<NONCE_BYTES>()?)));
        let Some((id, (nonce, sealed))) = parts else {
            return Unsealed::Broken;
        };
        let Some(key) = self.keys.get(&u64::from_le_bytes(*id)) else {
            return Unsealed::Erased;
        };
        let payload = Payload {
            msg: sealed,
            aad: facts,
        };
        match key.cipher().decrypt(&XNonce::from(*nonce), payload) {
            Ok(content) => Unsealed::Text(content),
            Err(_) => Unsealed::Broken,
        }
    }

    /// Destroys the keys of `subject`, and says how many there were.
    pub(crate) fn erase(&mut self, subject: &str) -> Result<u64, StoreError> {
        let text = Zeroizing::new(self.text()?);
        let mut erased = 0;
        let mut at = 0;
        let mut options = OpenOptions::new();
        let failed = |error| StoreError::system("erase a key in", &self.path)(error);
        let mut file = match options.write(true).open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(failed)?,
        };
        for line in text.split_inclusive('\n') {
            if let Some((_, Some(_), owner)) = parsed(line.trim_end())
                && owner == subject
            {
                file.seek(SeekFrom::Start((at + KEY_AT) as u64))
                    .and_then(|_| file.write_all(&[b'0'; 2 * KEY_BYTES]))
                    .map_err(failed)?;
                erased += 1;
            }
            at += line.len();
        }
        file.sync_all().map_err(failed)?;
        self.refresh()?;
        Ok(erased)
    }

    /// Reads the file again if it has changed.
    pub(crate) fn refresh(&mut self) -> Result<(), StoreError> {
        let now = std::fs::metadata(&self.path);
        let now = now.and_then(|it| Ok((it.len(), it.modified()?))).ok();
        if now.is_some() && now == self.seen {
            return Ok(());
        }
        let text = Zeroizing::new(self.text()?);
        self.keys.clear();
        self.current.clear();
        for line in text.lines() {
            match parsed(line) {
                Some((id, Some(key), subject)) => self.know(id, key, subject),
                Some((_, None, _)) => {}
                None => tracing::warn!(
                    file = %self.path.display(),
                    "a line is no key; what was sealed with it cannot be read"
                ),
            }
        }
        self.seen = now;
        Ok(())
    }

    fn know(&mut self, id: KeyId, key: SubjectKey, subject: &str) {
        self.keys.insert(id, key);
        self.current.insert(subject.to_owned(), id);
    }

    fn text(&self) -> Result<String, StoreError> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut it| it.read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(text),
            Err(error) => Err(StoreError::system("read", &self.path)(error)),
            Ok(_) => Ok(text),
        }
    }

    /// Makes a key. It is on the disk before anything is sealed with it.
    fn make(&mut self, subject: &str) -> Result<KeyId, StoreError> {
        let mut id = [0; 8];
        fill(&mut id)?;
        let id = u64::from_le_bytes(id);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(&mut *key)?;
        let digits = Zeroizing::new(hexadecimal(&*key));
        let line = Zeroizing::new(format!("{id:016x} {} {subject}\n", *digits));
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let is_cut = self
            .text()?
            .bytes()
            .next_back()
            .is_some_and(|it| it != b'\n');
        let file = options.open(&self.path);
        let written = file.and_then(|mut file| {
            if is_cut {
                // A loss of power left half a line; nothing was sealed with that key.
                file.write_all(b"\n")?;
            }
            file.write_all(line.as_bytes())?;
            file.sync_all()
        });
        written.map_err(StoreError::system("write a key to", &self.path))?;
        if let Some(folder) = self.path.parent() {
            crate::folder::Folder::new(folder).sync()?;
        }
        self.know(id, SubjectKey(key), subject);
        Ok(id)
    }
}

impl SubjectKey {
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::Randomness {
        fact: error.to_string(),
    })
}

/// A line's id, its key unless that has been erased, and its subject.
fn parsed(line: &str) -> Option<(KeyId, Option<SubjectKey>, &str)> {
    let id = u64::from_str_radix(line.get(..KEY_AT - 1)?, 16).ok()?;
    let digits = line.get(KEY_AT..SUBJECT_AT - 1)?;
    let subject = line.get(SUBJECT_AT..)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    let is_erased = key.iter().all(|it| *it == 0);
    let key = (!is_erased).then_some(SubjectKey(key));
    Some((id, key, subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_with_its_key_and_its_facts_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut subjects = Subjects::open(folder.path()).unwrap();
        let sealed = subjects.seal("shop", b"a canary", b"facts").unwrap();
        assert!(!sealed.windows(6).any(|it| it == b"canary"));
        let again = Subjects::open(folder.path()).unwrap();
        let text = Unsealed::Text(b"a canary".to_vec());
        assert_eq!(again.open_sealed(&sealed, b"facts"), text);
        assert_eq!(again.open_sealed(&sealed, b"other"), Unsealed::Broken);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_ne!(again.open_sealed(&changed, b"facts"), text, "byte {at}");
            assert_eq!(again.open_sealed(&sealed[..at], b"facts"), Unsealed::Broken);
        }
    }

    #[test]
    fn the_same_content_is_sealed_differently_each_time_and_under_one_key_a_subject() {
        let folder = tempfile::tempdir().unwrap();
        let mut subjects = Subjects::open(folder.path()).unwrap();
        let first = subjects.seal("shop", b"x", b"").unwrap();
        let second = subjects.seal("shop", b"x", b"").unwrap();
        assert_ne!(first, second);
        assert_eq!(first[..8], second[..8]);
        assert_ne!(first[..8], subjects.seal("bank", b"x", b"").unwrap()[..8]);
    }

    #[test]
    fn an_erased_subject_is_gone_for_a_running_server_too_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Subjects::open(folder.path()).unwrap();
        let of_shop = server.seal("shop", b"x", b"").unwrap();
        let of_bank = server.seal("bank", b"x", b"").unwrap();
        let mut command = Subjects::open(folder.path()).unwrap();
        assert_eq!(command.erase("shop").unwrap(), 1);
        assert_eq!(command.erase("shop").unwrap(), 0);
        assert_eq!(command.erase("nobody").unwrap(), 0);
        let new = server.seal("shop", b"y", b"").unwrap();
        assert_ne!(of_shop[..8], new[..8]);
        for subjects in [&server, &Subjects::open(folder.path()).unwrap()] {
            assert_eq!(subjects.open_sealed(&of_shop, b""), Unsealed::Erased);
            let text = |it: &[u8]| Unsealed::Text(it.to_vec());
            assert_eq!(subjects.open_sealed(&of_bank, b""), text(b"x"));
            assert_eq!(subjects.open_sealed(&new, b""), text(b"y"));
        }
    }

    #[test]
    fn half_a_line_is_no_key_and_the_next_one_begins_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut subjects = Subjects::open(folder.path()).unwrap();
        subjects.seal("shop", b"x", b"").unwrap();
        let file = folder.path().join(FILE);
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("0123456789abcdef 00ff");
        std::fs::write(&file, text).unwrap();
        let sealed = subjects.seal("bank", b"x", b"").unwrap();
        let again = Subjects::open(folder.path()).unwrap();
        assert_eq!(
            again.open_sealed(&sealed, b""),
            Unsealed::Text(b"x".to_vec())
        );
    }
}
