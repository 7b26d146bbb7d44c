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

use candle_core::quantized::gguf_file::{Content, Value};

pub use layout::TensorInfo;
pub use mapping::MappedTensor;
pub use metadata::{Metadata, MetadataValue};
pub use tensor_type::TensorType;
pub(crate) use tensor_type::supported_names;

use crate::load_error::{LoadError, LoadFault};
use header::read_header;
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
            values: checked.metadata,
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

/// Keys and values as candle reads them, and tensors whose places were checked.
struct Checked {
    metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
}

impl Checked {
    fn read(reader: impl Read, file_bytes: u64) -> Result<Self, LoadFault> {
        let header = read_header(reader, file_bytes)?;
        let data_start = header.length.next_multiple_of(header.alignment);
        let tensors = place_tensors(header.tensors, (data_start, header.alignment), file_bytes)?;
        let content = Content::read(&mut Cursor::new(header.keys))
            .map_err(|error| LoadFault::Disagreement(error.to_string()))?;
        Ok(Self {
            metadata: content.metadata,
            tensors,
        })
    }
}
