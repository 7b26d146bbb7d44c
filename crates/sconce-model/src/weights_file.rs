//! What the decoder needs of a model's files, whatever their format.

use std::path::Path;

use sconce_kernels::quantized_matmul::Encoding;
use sconce_text::Vocabulary;

use crate::folder::ModelFolder;
use crate::gguf::{GgufFile, MappedTensor, Metadata, TensorInfo};
use crate::load_error::{LoadError, LoadFault};
use crate::quantized_weights::QuantizedWeights;
use crate::vocabulary::{chat_template_of, vocabulary_of};

/// A model's weights and what belongs to them. Keys and tensors go by the names that GGUF gives them.
pub trait WeightsFile: std::fmt::Debug + Send + Sync {
    /// The file or folder that was named.
    fn path(&self) -> &Path;

    /// The family it says it belongs to.
    fn family(&self) -> Result<&str, LoadError>;

    /// Its keys and values.
    fn metadata(&self) -> &Metadata;

    /// In which order rows of queries and keys lie.
    fn row_order(&self) -> RowOrder;

    /// Its tensors.
    fn tensors(&self) -> &[TensorInfo];

    /// The tensor of that name, if there is one.
    fn find_tensor(&self, name: &str) -> Option<&TensorInfo>;

    /// The bytes of a tensor, as its description has them.
    fn tensor_bytes(&self, name: &str) -> Result<TensorBytes, LoadError>;

    /// Its vocabulary: one token for each row of the embedding.
    fn vocabulary(&self) -> Result<Vocabulary, LoadError>;

    /// The source of its chat template, if it has one: foreign code.
    fn chat_template(&self) -> Result<Option<String>, LoadError>;
}

impl dyn WeightsFile + '_ {
    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, LoadError> {
        let missing = || LoadFault::TensorMissing {
            tensor: name.to_owned(),
            shape: None,
        };
        self.find_tensor(name)
            .ok_or_else(|| missing().in_file(self.path()))
    }
}

/// In which order rows of queries and keys lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// As GGUF has them: for some families, rows that rotate together are neighbours.
    Converted,
    /// As they were trained: rows that rotate together are half a head apart.
    Original,
}

/// A tensor's bytes.
#[derive(Debug)]
#[must_use = "dropping this lets go of the bytes"]
pub enum TensorBytes {
    /// From the page cache.
    Mapped(MappedTensor),
    /// Made of others.
    Made(Vec<u8>),
}

impl TensorBytes {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(tensor) => tensor.bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

/// Opens a GGUF file, or a folder with `config.json` and safetensors, given by itself or by a file in it,
/// whose matrices are perhaps to be
/// quantized as they are loaded. Reads headers only.
pub fn open_weights(
    path: &Path,
    encoding: Option<Encoding>,
) -> Result<Box<dyn WeightsFile>, LoadError> {
    let is_of_folder = path.extension().is_some_and(|it| it == "safetensors");
    let folder = if is_of_folder {
        path.parent()
    } else {
        Some(path)
    };
    let file: Box<dyn WeightsFile> = match folder.filter(|it| is_of_folder || it.is_dir()) {
        Some(folder) => Box::new(ModelFolder::open(folder)?),
        None => Box::new(GgufFile::open(path)?),
    };
    Ok(match encoding {
        None => file,
        Some(encoding) => Box::new(QuantizedWeights::new(file, encoding)),
    })
}

impl WeightsFile for GgufFile {
    fn path(&self) -> &Path {
        self.path()
    }

    fn family(&self) -> Result<&str, LoadError> {
        self.architecture()
    }

    fn metadata(&self) -> &Metadata {
        self.metadata()
    }

    fn row_order(&self) -> RowOrder {
        RowOrder::Converted
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.all_tensors()
    }

    fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.find_tensor(name)
    }

    fn tensor_bytes(&self, name: &str) -> Result<TensorBytes, LoadError> {
        self.map_tensor(name).map(TensorBytes::Mapped)
    }

    fn vocabulary(&self) -> Result<Vocabulary, LoadError> {
        vocabulary_of(self)
    }

    fn chat_template(&self) -> Result<Option<String>, LoadError> {
        Ok(chat_template_of(self)?.map(str::to_owned))
    }
}
