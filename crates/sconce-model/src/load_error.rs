//! Why a weights file was not loaded: the file, what is wrong with it, and what to do.

use std::path::{Path, PathBuf};

use crate::gguf::supported_names;

/// A weights file that was refused. Nothing of it stays in memory.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct LoadError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: LoadFault,
}

/// What can be wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The header ends in the middle of something.
    #[error(
        "{what} at byte {at} needs {wanted} bytes, but only {left} are left; the file is cut off \
         or damaged: fetch it again"
    )]
    HeaderCutOff {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// The bytes it claims to have.
        wanted: u64,
        /// The bytes the file has from there.
        left: u64,
    },
    /// A tensor's bytes are not all there.
    #[error(
        "tensor {tensor} ends at byte {end}, but the file has only {file_bytes}: {missing} bytes \
         are missing; the file was cut off: fetch it again",
        missing = end - file_bytes
    )]
    DataCutOff {
        /// The tensor that reaches furthest.
        tensor: String,
        /// The byte after its last.
        end: u64,
        /// The file's length.
        file_bytes: u64,
    },
    /// It is something else.
    #[error("begins with {0:02x?} instead of \"GGUF\"; name a GGUF file")]
    NotGguf([u8; 4]),
    /// A version of the format that is not read.
    #[error("is GGUF version {0}, but versions 2 and 3 are read; convert it with a current tool")]
    Version(u32),
    /// Written on, and for, a machine of the other byte order.
    #[error("is big-endian GGUF; convert it to little-endian")]
    BigEndian,
    /// A size in the header that no honest file has.
    #[error("{what} is {found}, but at most {limit} is read; the file is damaged: fetch it again")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        found: u64,
        /// The largest size read.
        limit: u64,
    },
    /// A metadata key or tensor name that cannot be a name.
    #[error("{what} at byte {at} is {fault}; the file is damaged or hostile: fetch it again")]
    Text {
        /// Key, name or value.
        what: &'static str,
        /// Where its text begins.
        at: u64,
        /// Empty, not UTF-8, or with a NUL.
        fault: &'static str,
    },
    /// The same name twice.
    #[error("{what} {name:?} occurs twice; the file is damaged or hostile: fetch it again")]
    Duplicate {
        /// Key or tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value of a type the format does not have, or a boolean that is neither.
    #[error("key {key} has {what} {found}; the file is damaged: fetch it again")]
    Value {
        /// The metadata key.
        key: String,
        /// What is wrong about it.
        what: &'static str,
        /// The number found.
        found: u32,
    },
    /// An alignment that offsets cannot be rounded to.
    #[error(
        "general.alignment is {0}, wanted a u32 power of two from 8 to 65536; convert the model \
         again"
    )]
    Alignment(String),
    /// A tensor's description makes no sense by itself.
    #[error("tensor {tensor} {what}; the file is damaged or hostile: fetch it again")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong about it, with the numbers.
        what: String,
    },
    /// A model's `config.json`, or another file beside it, does not say what it should.
    #[error("{file}: {what}; fetch the folder again, or choose another model")]
    Description {
        /// The file in the folder.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A quantization that nothing here computes with.
    #[error(
        "tensor {tensor} is stored as {name} (type {number}), which is not supported; choose a \
         file of the types {}",
        supported_names()
    )]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The type's number in the file.
        number: u32,
        /// Its name, where it is known.
        name: &'static str,
    },
    /// The JSON at the beginning of a safetensors file is not what it has to be.
    #[error("has no safetensors header: {0}; the file is another or damaged: fetch it again")]
    SafetensorsHeader(String),
    /// A file of JSON beside the weights is not what it has to be.
    #[error("cannot be understood: {0}; fetch it again")]
    Config(String),
    /// Bytes among the tensors that belong to none.
    #[error(
        "bytes {start} to {end} belong to no tensor; the file is damaged or hostile: fetch it again"
    )]
    Unclaimed {
        /// The first such byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "tensors {first} and {second} overlap at byte {at}; the file is damaged or hostile: fetch \
         it again"
    )]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
        /// Where it begins.
        at: u64,
    },
    /// The validated header means something else to candle.
    #[error("candle reads the header differently: {0}; please report this file")]
    Disagreement(String),
    /// A model in several files of which one is missing or another.
    #[error(
        "the model is in several files, but {0}; keep all of them in one folder under the names they \
         were made with"
    )]
    Parts(String),
    /// The file is not what it was when it was opened.
    #[error("was changed while it was being loaded; let nothing write to it and start again")]
    Changed,
    /// A key that the model needs is absent.
    #[error("has no key {key} ({wanted}); convert the model again with a current tool")]
    KeyMissing {
        /// The key.
        key: String,
        /// The type it should have.
        wanted: &'static str,
    },
    /// A key with a value that cannot be used.
    #[error("key {key} is {found}, wanted {wanted}; convert the model again with a current tool")]
    KeyValue {
        /// The key.
        key: String,
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// No decoder is known for the file's architecture.
    #[error("is of the unknown family {found:?}; known are {known}: choose a model of those")]
    UnknownFamily {
        /// What the file says.
        found: String,
        /// The families that can be loaded.
        known: String,
    },
    /// The file asks for something the decoder does not do.
    #[error("key {key} is {found}, which is not supported yet; choose a model without it")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
    },
    /// A tensor that the model consists of is absent.
    #[error(
        "has no tensor {tensor}{}; the file is not whole: fetch it again or convert the model again",
        shape.as_ref().map_or(String::new(), |it| format!(", wanted with shape {it:?}"))
    )]
    TensorMissing {
        /// The tensor.
        tensor: String,
        /// The shape it should have, where that is known.
        shape: Option<Vec<usize>>,
    },
    /// A tensor that the model does not use: the spec is not the file's.
    #[error(
        "has tensor {tensor} with shape {shape:?}, which nothing in this family uses; results \
         without it would be wrong: choose another file of this model"
    )]
    TensorUnclaimed {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor whose shape does not follow from the metadata.
    #[error(
        "tensor {tensor} has shape {found:?}, wanted {wanted:?} by the file's own sizes; fetch it \
         again or convert the model again"
    )]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// The shape that follows from the metadata.
        wanted: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// The vocabulary cannot be used.
    #[error("the vocabulary is unusable: {0}; convert the model again with a current tool")]
    Vocabulary(String),
}

impl LoadFault {
    /// Says which file the fault was found in.
    #[must_use]
    pub fn in_file(self, file: &Path) -> LoadError {
        LoadError {
            file: file.to_owned(),
            fault: self,
        }
    }
}
