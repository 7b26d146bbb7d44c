//! Where tensors lie: side by side, each as long as its shape, from the data's first byte to its last.

use std::ops::Range;

use super::element_type::ElementType;
use super::header::Entry;
use crate::load_error::LoadFault;

/// A tensor of a file, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first. None is zero; a single number has none.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub kind: ElementType,
    /// Its bytes, counted from the beginning of its file.
    pub byte_range: Range<u64>,
}

/// Places `entries` in a file of `file_bytes` bytes whose data begins at `data_start`, in the order of
/// their bytes.
pub(super) fn place(
    entries: Vec<(String, Entry)>,
    data_start: u64,
    file_bytes: u64,
) -> Result<Vec<StoredTensor>, LoadFault> {
    let placed = entries
        .into_iter()
        .map(|(name, entry)| place_one(name, &entry, data_start));
    let mut tensors = placed.collect::<Result<Vec<_>, _>>()?;
    tensors.sort_by_key(|it| (it.byte_range.start, it.byte_range.end));
    check_cover(&tensors, data_start..file_bytes)?;
    Ok(tensors)
}

fn place_one(name: String, entry: &Entry, data_start: u64) -> Result<StoredTensor, LoadFault> {
    match place_entry(entry, data_start) {
        Ok((kind, shape, byte_range)) => Ok(StoredTensor {
            name,
            shape,
            kind,
            byte_range,
        }),
        Err(what) => Err(LoadFault::Tensor { tensor: name, what }),
    }
}

type Place = (ElementType, Vec<usize>, Range<u64>);

fn place_entry(entry: &Entry, data_start: u64) -> Result<Place, String> {
    let Entry {
        dtype,
        shape,
        data_offsets: [start, end],
    } = entry;
    let kind = ElementType::named(dtype)
        .ok_or_else(|| format!("is of type {dtype:?}, which the format does not know"))?;
    if shape.contains(&0) {
        return Err(format!("has shape {shape:?}, which holds nothing"));
    }
    let bytes = stored_bytes(shape, kind)?;
    if end.checked_sub(*start) != Some(bytes) {
        return Err(format!(
            "is at offsets {start} to {end}, but {shape:?} of {kind} are {bytes} bytes"
        ));
    }
    let end = data_start
        .checked_add(*end)
        .ok_or_else(|| format!("ends at offset {end}, past any file's end"))?;
    let narrow = |it: &u64| usize::try_from(*it).ok();
    let shape = shape.iter().map(narrow).collect::<Option<Vec<_>>>();
    let shape = shape.ok_or("is larger than a machine can address")?;
    Ok((kind, shape, end - bytes..end))
}

fn stored_bytes(shape: &[u64], kind: ElementType) -> Result<u64, String> {
    let too_large = || format!("has shape {shape:?}, more bytes than a machine can address");
    let bits = shape
        .iter()
        .try_fold(1_u64, |count, dimension| count.checked_mul(*dimension))
        .and_then(|elements| elements.checked_mul(kind.bits()))
        .filter(|bits| isize::try_from(bits / 8).is_ok())
        .ok_or_else(too_large)?;
    match bits.is_multiple_of(8) {
        true => Ok(bits / 8),
        false => Err(format!("has {bits} bits, no whole number of bytes")),
    }
}

/// Fails unless `tensors`, in order, fill `data` without a gap and without sharing a byte.
fn check_cover(tensors: &[StoredTensor], data: Range<u64>) -> Result<(), LoadFault> {
    let mut filled = data.start;
    let mut before: Option<&StoredTensor> = None;
    for tensor in tensors {
        let start = tensor.byte_range.start;
        match before {
            Some(before) if start < filled => {
                return Err(LoadFault::Overlap {
                    first: before.name.clone(),
                    second: tensor.name.clone(),
                    at: start,
                });
            }
            _ if start > filled => return Err(gap(filled..start)),
            _ => {}
        }
        filled = tensor.byte_range.end;
        before = Some(tensor);
    }
    match before {
        Some(last) if filled > data.end => Err(LoadFault::DataCutOff {
            tensor: last.name.clone(),
            end: filled,
            file_bytes: data.end,
        }),
        _ if filled < data.end => Err(gap(filled..data.end)),
        _ => Ok(()),
    }
}

fn gap(bytes: Range<u64>) -> LoadFault {
    LoadFault::Unclaimed {
        start: bytes.start,
        end: bytes.end,
    }
}
