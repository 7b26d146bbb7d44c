//! GGUF and safetensors loading, `ArchSpec`, the decoder, encoders; implements the engine's port on candle.

mod arch;
mod checkpoint;
mod claims;
mod cpu;
mod decoder;
mod demands;
mod encoder;
mod executor;
mod expert_linear;
mod families;
mod folder;
mod gguf;
mod linear;
mod load_error;
mod quantized_weights;
mod safetensors;
mod sizes;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "tiny-checkpoints"))]
pub mod tiny;
mod vocabulary;
mod watched_file;
mod weights_file;

pub use arch::{
    Activation, ArchSpec, Attention, Biases, Experts, FeedForward, GateUp, Gated, Head, LayerSpec,
    Mask, Mixer, NormPlacement, Positions, Projections, QueryKeyNorm, Rope, RopePairing,
    RopeStretch, SharedExpert, SharedWeight, Shares, Sinks, Yarn,
};
pub use claims::{Claim, LayerPart, TensorRole};
pub use decoder::{
    Batch, BatchChunk, BlockTable, Decoder, DecoderSettings, LogitRows, MemoryUse, StepWork,
};
pub use encoder::{Encoder, EncoderFolder, EncoderOutput, EncoderSpec, Pooling};
pub use executor::DecoderExecutor;
pub use families::spec_for;
pub use folder::ModelFolder;
pub use gguf::{GgufFile, MappedTensor, Metadata, MetadataValue, TensorInfo, TensorType};
pub use load_error::{LoadError, LoadFault};
pub use quantized_weights::QuantizedWeights;
pub use safetensors::{ElementType, SafetensorsFile, StoredTensor};
pub use sconce_kernels::Isa;
pub use sconce_kernels::heap::give_back_free_pages;
pub use sconce_kernels::paged_attention::KvType;
pub use sconce_kernels::quantized_matmul::{BlockFormat, Encoding};
pub use vocabulary::{chat_template_of, vocabulary_of};
pub use weights_file::{RowOrder, TensorBytes, WeightsFile, open_weights};
