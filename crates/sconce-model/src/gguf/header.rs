//! Walks a header with checked arithmetic, before anything that trusts it.
//!
//! Why: candle's reader panics on an alignment of zero, lets sizes wrap, and takes duplicate and
//! overlapping tensors. Keys and values that pass here can be given to it; tensors are read here alone.

use std::collections::HashSet;
use std::io::Read;

use super::layout::TensorEntry;
use super::source::Source;
use super::tensor_type::TensorType;
use crate::load_error::LoadFault;

/// The alignment of a file that states none.
const ALIGNMENT_DEFAULT: u64 = 32;
/// Elements of all arrays together. Each becomes 32 bytes in memory, a byte of the file too.
const ARRAY_ELEMENTS_MAX: u64 = 1 << 22;
/// Arrays of arrays of arrays of arrays: no known key goes past the first.
const ARRAY_DEPTH_MAX: u32 = 4;
/// The most tensors a file may have: a thousand layers of a hundred tensors each would fit.
pub(super) const TENSORS_MAX: u64 = 100_000;
/// The most metadata keys; ordinary files have twenty to sixty.
const KEYS_MAX: u64 = 10_000;

/// A length, a type and one byte of value.
const KEY_BYTES_MIN: u64 = 8 + 1 + 4 + 1;
/// A length, a byte of name, the rank, one dimension, a type and an offset.
const TENSOR_BYTES_MIN: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// Where the tensor count stands.
const TENSOR_COUNT_BYTES: std::ops::Range<usize> = 8..16;

const TYPE_BOOLEAN: u32 = 7;
const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// A header whose every length and name holds. Its tensors' places are yet to be checked.
pub(super) struct Header {
    /// The bytes before the tensors' descriptions, with a tensor count of zero: all that candle is
    /// given, since it knows fewer types of tensors.
    pub(super) keys: Vec<u8>,
    /// Bytes of the whole header.
    pub(super) length: u64,
    pub(super) tensors: Vec<TensorEntry>,
    pub(super) alignment: u64,
}

/// Reads and checks the header of a file of `file_bytes` bytes.
pub(super) fn read_header(reader: impl Read, file_bytes: u64) -> Result<Header, LoadFault> {
    let mut source = Source::new(reader, file_bytes);
    check_magic_and_version(&mut source)?;
    let tensor_count = source.u64("the tensor count")?;
    let key_count = source.u64("the metadata count")?;
    check_counts(&source, tensor_count, key_count)?;
    let mut keys = KeyWalk {
        source: &mut source,
        elements_left: ARRAY_ELEMENTS_MAX,
    };
    let alignment = keys.walk(key_count)?;
    let keys_end = source.position() as usize;
    let tensors = walk_tensors(&mut source, tensor_count)?;
    let length = source.position();
    let mut keys = source.into_seen();
    keys.truncate(keys_end);
    keys[TENSOR_COUNT_BYTES].fill(0);
    Ok(Header {
        keys,
        length,
        tensors,
        alignment,
    })
}

fn check_magic_and_version<R: Read>(source: &mut Source<R>) -> Result<(), LoadFault> {
    let magic = source.u32("the magic number")?.to_le_bytes();
    if &magic != b"GGUF" {
        return Err(LoadFault::NotGguf(magic));
    }
    match source.u32("the version")? {
        2 | 3 => Ok(()),
        swapped if matches!(swapped.swap_bytes(), 1..=3) => Err(LoadFault::BigEndian),
        version => Err(LoadFault::Version(version)),
    }
}

fn check_counts<R: Read>(source: &Source<R>, tensors: u64, keys: u64) -> Result<(), LoadFault> {
    for (what, found, limit) in [
        ("the tensor count", tensors, TENSORS_MAX),
        ("the metadata count", keys, KEYS_MAX),
    ] {
        if found > limit {
            return Err(LoadFault::TooLarge {
                what: what.to_owned(),
                found,
                limit,
            });
        }
    }
    source.require(
        "the header",
        tensors * TENSOR_BYTES_MIN + keys * KEY_BYTES_MIN,
    )
}

struct KeyWalk<'s, R> {
    source: &'s mut Source<R>,
    elements_left: u64,
}

impl<R: Read> KeyWalk<'_, R> {
    /// Checks every key and value; returns the alignment.
    fn walk(&mut self, count: u64) -> Result<u64, LoadFault> {
        let mut keys = HashSet::new();
        let mut alignment = ALIGNMENT_DEFAULT;
        for _ in 0..count {
            let key = self.source.name("a metadata key")?;
            let number = self.source.u32("a value's type")?;
            if key == "general.alignment" {
                alignment = self.alignment(number)?;
            } else {
                self.value(&key, number, 0)?;
            }
            if let Some(name) = keys.replace(key) {
                return Err(LoadFault::Duplicate {
                    what: "metadata key",
                    name,
                });
            }
        }
        Ok(alignment)
    }

    fn alignment(&mut self, number: u32) -> Result<u64, LoadFault> {
        const TYPE_U32: u32 = 4;
        if number != TYPE_U32 {
            return Err(LoadFault::Alignment(format!("of value type {number}")));
        }
        let alignment = self.source.u32("general.alignment")?;
        if !alignment.is_power_of_two() || !(8..=65_536).contains(&alignment) {
            return Err(LoadFault::Alignment(alignment.to_string()));
        }
        Ok(u64::from(alignment))
    }

    fn value(&mut self, key: &str, number: u32, depth: u32) -> Result<(), LoadFault> {
        match number {
            TYPE_STRING => self.source.text("a string value").map(drop),
            TYPE_ARRAY => self.array(key, depth + 1),
            TYPE_BOOLEAN => self.booleans(key, 1),
            _ => self
                .source
                .take("a value", scalar_bytes(key, number)?)
                .map(drop),
        }
    }

    fn array(&mut self, key: &str, depth: u32) -> Result<(), LoadFault> {
        if depth > ARRAY_DEPTH_MAX {
            let what = "arrays nested deeper than four, at least";
            return Err(LoadFault::Value {
                key: key.to_owned(),
                what,
                found: depth,
            });
        }
        let number = self.source.u32("an array's element type")?;
        let count = self.source.u64("an array's length")?;
        if count > self.elements_left {
            let what = format!("the array length of key {key}");
            return Err(LoadFault::TooLarge {
                what,
                found: count,
                limit: self.elements_left,
            });
        }
        self.elements_left -= count;
        match number {
            TYPE_STRING | TYPE_ARRAY => (0..count).try_for_each(|_| self.value(key, number, depth)),
            TYPE_BOOLEAN => self.booleans(key, count),
            _ => {
                let bytes = scalar_bytes(key, number)? * count;
                self.source.take("an array", bytes).map(drop)
            }
        }
    }

    fn booleans(&mut self, key: &str, count: u64) -> Result<(), LoadFault> {
        match self
            .source
            .take("a boolean", count)?
            .iter()
            .find(|it| **it > 1)
        {
            None => Ok(()),
            Some(byte) => Err(LoadFault::Value {
                key: key.to_owned(),
                what: "the boolean",
                found: u32::from(*byte),
            }),
        }
    }
}

fn scalar_bytes(key: &str, number: u32) -> Result<u64, LoadFault> {
    match number {
        0 | 1 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => {
            let what = "the unknown value type";
            Err(LoadFault::Value {
                key: key.to_owned(),
                what,
                found: number,
            })
        }
    }
}

fn walk_tensors<R: Read>(
    source: &mut Source<R>,
    count: u64,
) -> Result<Vec<TensorEntry>, LoadFault> {
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let entry = tensor_entry(source)?;
        if let Some(name) = names.replace(entry.name.clone()) {
            return Err(LoadFault::Duplicate {
                what: "tensor",
                name,
            });
        }
        tensors.push(entry);
    }
    Ok(tensors)
}

fn tensor_entry<R: Read>(source: &mut Source<R>) -> Result<TensorEntry, LoadFault> {
    let name = source.name("a tensor's name")?;
    let rank = source.u32("a tensor's rank")?;
    if !(1..=4).contains(&rank) {
        let what = format!("has {rank} dimensions, wanted 1 to 4");
        return Err(LoadFault::Tensor { tensor: name, what });
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        let dimension = source.u64("a tensor's dimension")?;
        let Some(dimension) = usize::try_from(dimension).ok().filter(|it| *it > 0) else {
            let what = format!("has a dimension of {dimension}");
            return Err(LoadFault::Tensor { tensor: name, what });
        };
        shape.push(dimension);
    }
    shape.reverse();
    let number = source.u32("a tensor's type")?;
    let offset = source.u64("a tensor's offset")?;
    match TensorType::numbered(number) {
        Ok(kind) => Ok(TensorEntry {
            name,
            shape,
            kind,
            offset,
        }),
        Err(type_name) => Err(LoadFault::TensorType {
            tensor: name,
            number,
            name: type_name,
        }),
    }
}
