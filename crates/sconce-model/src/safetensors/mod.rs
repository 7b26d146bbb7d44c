//! safetensors files: headers validated in full before a byte of a tensor is looked at.
//!
//! *Why our own reader.* Of two entries with one name the `safetensors` crate keeps the last, so that one
//! file can be two models to two tools; and it wants the file as one slice, where we map a tensor at a
//! time. What is left to take from it is a page of arithmetic.
//!
//! The format: eight bytes of length, little-endian; that many bytes of JSON, which name each tensor with
//! its type, its shape and its place; then the tensors' bytes, without a gap.

mod element_type;
mod header;
mod layout;

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::path::Path;

pub use element_type::ElementType;
pub use layout::StoredTensor;

use crate::gguf::MappedTensor;
use crate::load_error::{LoadError, LoadFault};
use crate::watched_file::WatchedFile;

/// An open safetensors file whose header has been checked against its length.
#[derive(Debug)]
pub struct SafetensorsFile {
    file: WatchedFile,
    metadata: BTreeMap<String, String>,
    tensors: Vec<StoredTensor>,
    by_name: HashMap<String, usize>,
}

impl SafetensorsFile {
    /// Opens and validates `path`. Reads the header only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let open = || {
            let file = WatchedFile::open(path)?;
            let file_bytes = file.file_bytes();
            let header = header::read(BufReader::new(file.handle()), file_bytes)?;
            let tensors = layout::place(header.entries, header.data_start, file_bytes)?;
            Ok((file, header.metadata, tensors))
        };
        let (file, metadata, tensors) = open().map_err(|fault: LoadFault| fault.in_file(path))?;
        let names = tensors.iter().map(|it| it.name.clone());
        Ok(Self {
            by_name: names.zip(0..).collect(),
            file,
            metadata,
            tensors,
        })
    }

    /// The file's path, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file's length.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_bytes()
    }

    /// What its maker noted, by key.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Its tensors, in the order of their bytes.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &StoredTensor> {
        self.tensors.iter()
    }

    /// The tensor of that name, if there is one.
    #[must_use]
    pub fn find_tensor(&self, name: &str) -> Option<&StoredTensor> {
        self.by_name.get(name).map(|index| &self.tensors[*index])
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<&StoredTensor, LoadError> {
        let missing = || LoadFault::TensorMissing {
            tensor: name.to_owned(),
            shape: None,
        };
        self.find_tensor(name)
            .ok_or_else(|| missing().in_file(self.path()))
    }

    /// Maps the bytes of one tensor. Refuses if the file is not as long or as old as when it was opened.
    ///
    /// Unlike those of a GGUF file they may begin at any address.
    pub fn map_tensor(&self, name: &str) -> Result<MappedTensor, LoadError> {
        self.file.map(&self.tensor(name)?.byte_range)
    }
}
