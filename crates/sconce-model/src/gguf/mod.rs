//! GGUF files: validated before candle parses them, mapped tensor by tensor.

mod header;
mod layout;
mod mapping;
mod metadata;
mod parts;
mod source;
mod tensor_type;

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};

pub use layout::TensorInfo;
pub use mapping::MappedTensor;
pub(crate) use mapping::map_range;
pub use metadata::{Metadata, MetadataValue};
pub use tensor_type::TensorType;
pub(crate) use tensor_type::supported_names;

use crate::load_error::{LoadError, LoadFault};
use crate::watched_file::WatchedFile;
use header::{TENSORS_MAX, read_header};
use layout::place_tensors;
use parts::open_part;

/// An open weights file, or several that are one model, whose headers have been checked against their
/// lengths.
#[derive(Debug)]
pub struct GgufFile {
    /// The file that was named, then its other parts.
    parts: Vec<WatchedFile>,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl GgufFile {
    /// Opens and validates `path`, and the other parts of a model whose first part it is. Reads headers
    /// only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let (first, metadata, mut tensors) = open_part(path.as_ref())?;
        let mut parts = vec![first];
        parts::open_others(&metadata, &mut parts, &mut tensors)?;
        let mut by_name = HashMap::new();
        for (index, tensor) in tensors.iter().enumerate() {
            if by_name.insert(tensor.name.clone(), index).is_some() {
                let what = format!("two of them have tensor {}", tensor.name);
                return Err(LoadFault::Parts(what).in_file(metadata.file()));
            }
        }
        Ok(Self {
            parts,
            metadata,
            tensors,
            by_name,
        })
    }

    /// The file's path, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.metadata.file()
    }

    /// The length of all parts together.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.parts.iter().map(WatchedFile::file_bytes).sum()
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

    /// The same as a list.
    pub(crate) fn all_tensors(&self) -> &[TensorInfo] {
        &self.tensors
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
        self.parts[tensor.part].map(&tensor.byte_range)
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
