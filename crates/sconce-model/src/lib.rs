//! GGUF loading, `ArchSpec`, the decoder; implements the engine's port on candle.

mod gguf;
mod load_error;

pub use gguf::{GgufFile, MappedTensor, Metadata, MetadataValue, TensorInfo};
pub use load_error::{LoadError, LoadFault};
