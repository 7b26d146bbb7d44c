//! The header's JSON, read without the freedoms that hide two tensors behind one name.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::load_error::LoadFault;

/// Bytes of the number that says how long the header is.
const LENGTH_BYTES: u64 = 8;
/// The longest header that is read: the limit of the format's own library.
const HEADER_BYTES_MAX: u64 = 100_000_000;
/// The most tensors a file may have; models with an expert a tensor have tens of thousands.
const TENSORS_MAX: usize = 100_000;
/// The entry that is no tensor.
const METADATA: &str = "__metadata__";

/// What a header says, not yet compared with the file.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) entries: Vec<(String, Entry)>,
    /// Where the tensors' bytes begin in the file.
    pub(super) data_start: u64,
}

/// A tensor as the header describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    /// Its first byte, and the one after its last, from the data's beginning.
    pub(super) data_offsets: [u64; 2],
}

/// Reads the header of a file of `file_bytes` bytes. Memory grows with what the file holds, not with what
/// it claims.
pub(super) fn read(mut reader: impl Read, file_bytes: u64) -> Result<Header, LoadFault> {
    let length = header_length(&mut reader, file_bytes)?;
    let mut text = Vec::new();
    reader.take(length).read_to_end(&mut text)?;
    if (text.len() as u64) < length {
        return Err(LoadFault::Changed);
    }
    let json = |error: serde_json::Error| LoadFault::SafetensorsHeader(error.to_string());
    let Json { metadata, entries } = serde_json::from_slice(&text).map_err(json)?;
    let mut names = HashSet::new();
    if let Some((name, _)) = entries.iter().find(|(name, _)| !names.insert(name)) {
        return Err(LoadFault::Duplicate {
            what: "tensor",
            name: name.clone(),
        });
    }
    Ok(Header {
        metadata,
        entries,
        data_start: LENGTH_BYTES + length,
    })
}

fn header_length(reader: &mut impl Read, file_bytes: u64) -> Result<u64, LoadFault> {
    let cut_off = |what, at, wanted| LoadFault::HeaderCutOff {
        what,
        at,
        wanted,
        left: file_bytes.saturating_sub(at),
    };
    if file_bytes < LENGTH_BYTES {
        return Err(cut_off("the header's length", 0, LENGTH_BYTES));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    reader.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return Err(LoadFault::TooLarge {
            what: "the header's length".to_owned(),
            found: length,
            limit: HEADER_BYTES_MAX,
        });
    }
    if length > file_bytes - LENGTH_BYTES {
        return Err(cut_off("the header", LENGTH_BYTES, length));
    }
    Ok(length)
}

/// The header as it stands in the file.
struct Json {
    metadata: BTreeMap<String, String>,
    entries: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object that names tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            if name != METADATA {
                if entries.len() == TENSORS_MAX {
                    let fact = format!("more than {TENSORS_MAX} tensors");
                    return Err(Error::custom(fact));
                }
                entries.push((name, map.next_value()?));
            } else if metadata.is_none() {
                metadata = Some(map.next_value::<Notes>()?.0);
            } else {
                return Err(Error::custom(format!("{METADATA} occurs twice")));
            }
        }
        Ok(Json {
            metadata: metadata.unwrap_or_default(),
            entries,
        })
    }
}

/// Texts by key, each key once.
struct Notes(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NotesVisitor).map(Self)
    }
}

struct NotesVisitor;

impl<'de> Visitor<'de> for NotesVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut notes = BTreeMap::new();
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            if notes.contains_key(&key) {
                let fact = format!("the key {key:?} of {METADATA} occurs twice");
                return Err(Error::custom(fact));
            }
            notes.insert(key, text);
        }
        Ok(notes)
    }
}
