//! GGUF files: validated before candle parses them, mapped tensor by tensor.

mod header;
mod layout;
mod mapping;
mod metadata;
mod source;
mod tensor_type;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::time::SystemTime;

use candle_core::quantized::gguf_file::Content;

pub use layout::TensorInfo;
pub use mapping::MappedTensor;
pub use metadata::{Metadata, MetadataValue};

use crate::load_error::{LoadError, LoadFault};
use header::{Header, read_header};
use layout::place_tensors;

/// An open weights file whose header has been checked against its length.
#[derive(Debug)]
pub struct GgufFile {
    handle: File,
    stamp: Stamp,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

/// What a file must still look like for its validated header to mean anything.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file_bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(handle: &File) -> std::io::Result<Self> {
        let found = handle.metadata()?;
        Ok(Self {
            file_bytes: found.len(),
            modified: found.modified().ok(),
        })
    }
}

impl GgufFile {
    /// Opens and validates `path`. Reads the header only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        Self::open_file(path).map_err(|fault| fault.in_file(path))
    }

    fn open_file(path: &Path) -> Result<Self, LoadFault> {
        let handle = File::open(path)?;
        let stamp = Stamp::of(&handle)?;
        let checked = Checked::read(BufReader::new(&handle), stamp.file_bytes)?;
        let by_name = checked.tensors.iter().enumerate();
        let by_name = by_name
            .map(|(index, it)| (it.name.clone(), index))
            .collect();
        let metadata = Metadata {
            file: path.to_owned(),
            values: checked.content.metadata,
        };
        Ok(Self {
            handle,
            stamp,
            metadata,
            tensors: checked.tensors,
            by_name,
        })
    }

    /// The file's path, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.metadata.file()
    }

    /// The file's length.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.stamp.file_bytes
    }

    /// Its keys and values.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The family it says it belongs to.
    pub fn architecture(&self) -> Result<&str, LoadError> {
        self.metadata.get("general.architecture")
    }

    /// Its tensors, in the file's order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// The tensor of that name, if there is one.
    #[must_use]
    pub fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|index| &self.tensors[*index])
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, LoadError> {
        let missing = || LoadFault::TensorMissing {
            tensor: name.to_owned(),
            shape: None,
        };
        self.find_tensor(name)
            .ok_or_else(|| missing().in_file(self.path()))
    }

    /// Maps the bytes of one tensor. Refuses if the file is not as long or as old as when it was
    /// opened.
    pub fn map_tensor(&self, name: &str) -> Result<MappedTensor, LoadError> {
        let tensor = self.tensor(name)?;
        self.map(tensor).map_err(|fault| fault.in_file(self.path()))
    }

    fn map(&self, tensor: &TensorInfo) -> Result<MappedTensor, LoadFault> {
        if Stamp::of(&self.handle)? != self.stamp {
            return Err(LoadFault::Changed);
        }
        Ok(mapping::map_range(&self.handle, &tensor.byte_range)?)
    }
}

/// A header that our validator and candle agree on.
struct Checked {
    content: Content,
    tensors: Vec<TensorInfo>,
}

impl Checked {
    fn read(reader: impl Read, file_bytes: u64) -> Result<Self, LoadFault> {
        let Header {
            bytes,
            tensors,
            alignment,
        } = read_header(reader, file_bytes)?;
        let data_start = (bytes.len() as u64).next_multiple_of(alignment);
        let tensors = place_tensors(tensors, (data_start, alignment), file_bytes)?;
        let content = Content::read(&mut Cursor::new(bytes))
            .map_err(|error| LoadFault::Disagreement(error.to_string()))?;
        compare(&content, &tensors, data_start)?;
        Ok(Self { content, tensors })
    }
}

/// Fails unless candle found the same tensors in the same places.
fn compare(content: &Content, tensors: &[TensorInfo], data_start: u64) -> Result<(), LoadFault> {
    if content.tensor_infos.len() != tensors.len() || content.tensor_data_offset != data_start {
        let found = (content.tensor_infos.len(), content.tensor_data_offset);
        let ours = (tensors.len(), data_start);
        let what = format!("tensors and data start {found:?}, ours {ours:?}");
        return Err(LoadFault::Disagreement(what));
    }
    for tensor in tensors {
        let is_same = content
            .tensor_infos
            .get(&tensor.name)
            .is_some_and(|theirs| {
                theirs.shape.dims() == tensor.shape
                    && theirs.ggml_dtype == tensor.dtype
                    && data_start + theirs.offset == tensor.byte_range.start
            });
        if !is_same {
            return Err(LoadFault::Disagreement(format!("tensor {}", tensor.name)));
        }
    }
    Ok(())
}
