//! Where tensors lie: each whole, aligned, inside the file, and in nobody else's bytes.

use std::ops::Range;

use super::tensor_type::TensorType;
use crate::load_error::LoadFault;

/// A tensor as the header describes it.
pub(super) struct TensorEntry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorType,
    /// From the data section's beginning.
    pub(super) offset: u64,
}

/// A tensor of a file, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first; the last one is a row. None is zero.
    pub shape: Vec<usize>,
    /// How its elements are stored. A row is a whole number of the type's blocks.
    pub kind: TensorType,
    /// Its bytes, counted from the beginning of its file.
    pub byte_range: Range<u64>,
    /// Which of the model's files it is in, counted from zero.
    pub part: usize,
}

impl TensorInfo {
    /// Elements in it.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Places `entries` in a file of `file_bytes` bytes whose data section begins at `data_start`.
pub(super) fn place_tensors(
    entries: Vec<TensorEntry>,
    (data_start, alignment): (u64, u64),
    file_bytes: u64,
) -> Result<Vec<TensorInfo>, LoadFault> {
    let tensors = entries
        .into_iter()
        .map(|entry| place(entry, data_start, alignment))
        .collect::<Result<Vec<_>, _>>()?;
    check_overlaps(&tensors)?;
    let last = tensors.iter().max_by_key(|it| it.byte_range.end);
    match last.filter(|it| it.byte_range.end > file_bytes) {
        None => Ok(tensors),
        Some(last) => Err(LoadFault::DataCutOff {
            tensor: last.name.clone(),
            end: last.byte_range.end,
            file_bytes,
        }),
    }
}

fn place(entry: TensorEntry, data_start: u64, alignment: u64) -> Result<TensorInfo, LoadFault> {
    let TensorEntry {
        name,
        shape,
        kind,
        offset,
    } = entry;
    let range = stored_bytes(&shape, kind).and_then(|bytes| {
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "begins at offset {offset}, not a multiple of {alignment}"
            ));
        }
        let start = data_start.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(bytes));
        match (start, end) {
            (Some(start), Some(end)) => Ok(start..end),
            _ => Err(format!("begins at offset {offset}, past any file's end")),
        }
    });
    match range {
        Ok(byte_range) => Ok(TensorInfo {
            name,
            shape,
            kind,
            byte_range,
            part: 0,
        }),
        Err(what) => Err(LoadFault::Tensor { tensor: name, what }),
    }
}

fn stored_bytes(shape: &[usize], kind: TensorType) -> Result<u64, String> {
    let row = shape.last().copied().unwrap_or(0);
    let block = kind.block_elements();
    if !row.is_multiple_of(block) {
        return Err(format!(
            "has rows of {row} elements, not whole blocks of {block} ({kind})"
        ));
    }
    shape
        .iter()
        .try_fold(1_usize, |count, dimension| count.checked_mul(*dimension))
        .and_then(|elements| (elements / block).checked_mul(kind.block_bytes()))
        .filter(|bytes| isize::try_from(*bytes).is_ok())
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("has shape {shape:?}, more bytes than a machine can address"))
}

fn check_overlaps(tensors: &[TensorInfo]) -> Result<(), LoadFault> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|it| it.byte_range.start);
    for pair in order.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if second.byte_range.start < first.byte_range.end {
            return Err(LoadFault::Overlap {
                first: first.name.clone(),
                second: second.name.clone(),
                at: second.byte_range.start,
            });
        }
    }
    Ok(())
}
