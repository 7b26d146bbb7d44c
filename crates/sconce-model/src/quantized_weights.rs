//! A model's files, with matrices that are not quantized yet brought into blocks as they are loaded.

use std::collections::HashMap;
use std::path::Path;

use sconce_kernels::quantized_matmul::{Encoding, GROUP};
use sconce_text::Vocabulary;

use crate::claims::{LayerPart, TensorRole};
use crate::gguf::{Metadata, TensorInfo, TensorType};
use crate::load_error::LoadError;
use crate::weights_file::{RowOrder, TensorBytes, WeightsFile};

/// Weights that a thread brings into blocks together.
const WEIGHTS_PER_TASK: usize = 1 << 20;

/// Files whose large matrices of floating-point numbers count as quantized.
#[derive(Debug)]
pub struct QuantizedWeights {
    inner: Box<dyn WeightsFile>,
    encoding: Encoding,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl QuantizedWeights {
    /// Brings the matrices of `inner` into blocks. The embedding and the head keep eight bits, since all
    /// of a token passes through them. What is quantized already stays as it is, and so do routers,
    /// norms, biases, and rows that are no whole blocks.
    #[must_use]
    pub fn new(inner: Box<dyn WeightsFile>, encoding: Encoding) -> Self {
        let described = |info: &TensorInfo| TensorInfo {
            kind: encoding_of(info, encoding)
                .map_or(info.kind, |it| TensorType::Blocks(it.format())),
            ..info.clone()
        };
        let tensors: Vec<_> = inner.tensors().iter().map(described).collect();
        let names = tensors.iter().map(|it| it.name.clone());
        Self {
            by_name: names.zip(0..).collect(),
            inner,
            encoding,
            tensors,
        }
    }
}

/// What becomes of a tensor, if anything does.
fn encoding_of(info: &TensorInfo, wanted: Encoding) -> Option<Encoding> {
    let is_float = !matches!(info.kind, TensorType::Blocks(_));
    let is_matrix = info.shape.len() > 1 && info.name.ends_with(".weight");
    let is_whole = info.shape.last()?.is_multiple_of(GROUP);
    let router = TensorRole::Layer(0, LayerPart::Router).name();
    let is_router = router
        .strip_prefix("blk.0")
        .is_some_and(|it| info.name.ends_with(it));
    if !is_float || !is_matrix || !is_whole || is_router {
        return None;
    }
    let ends = [TensorRole::Embedding, TensorRole::Head].map(TensorRole::name);
    Some(match ends.contains(&info.name) {
        true => Encoding::Q8_0,
        false => wanted,
    })
}

impl WeightsFile for QuantizedWeights {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn family(&self) -> Result<&str, LoadError> {
        self.inner.family()
    }

    fn metadata(&self) -> &Metadata {
        self.inner.metadata()
    }

    fn row_order(&self) -> RowOrder {
        self.inner.row_order()
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|index| &self.tensors[*index])
    }

    fn tensor_bytes(&self, name: &str) -> Result<TensorBytes, LoadError> {
        let stored = self.inner.tensor(name)?;
        let bytes = self.inner.tensor_bytes(name)?;
        match encoding_of(stored, self.encoding) {
            None => Ok(bytes),
            Some(encoding) => {
                let made = encoded(encoding, stored.kind, bytes.bytes());
                Ok(TensorBytes::Made(made))
            }
        }
    }

    fn vocabulary(&self) -> Result<Vocabulary, LoadError> {
        self.inner.vocabulary()
    }

    fn chat_template(&self) -> Result<Option<String>, LoadError> {
        self.inner.chat_template()
    }
}

/// The blocks of stored numbers, made by all of the machine's threads.
fn encoded(encoding: Encoding, kind: TensorType, bytes: &[u8]) -> Vec<u8> {
    let width = kind.block_bytes();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks: Vec<&[u8]> = bytes.chunks(WEIGHTS_PER_TASK * width).collect();
    let mut made = Vec::with_capacity(encoding.format().row_bytes(bytes.len() / width));
    for together in tasks.chunks(threads) {
        std::thread::scope(|scope| {
            let encode = |part: &'_ [u8]| {
                let mut blocks = Vec::new();
                encoding.encode(&widened(kind, part), &mut blocks);
                blocks
            };
            let running: Vec<_> = together
                .iter()
                .map(|part| scope.spawn(move || encode(part)))
                .collect();
            for task in running {
                let blocks = task.join();
                made.extend(blocks.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }
    made
}

/// Stored numbers in single precision.
pub(crate) fn widened(kind: TensorType, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter().copied();
    match kind {
        TensorType::F16 => pairs()
            .map(|it| half::f16::from_le_bytes(it).to_f32())
            .collect(),
        TensorType::Bf16 => pairs()
            .map(|it| half::bf16::from_le_bytes(it).to_f32())
            .collect(),
        TensorType::F32 | TensorType::Blocks(_) => {
            let quads = bytes.as_chunks::<4>().0.iter().copied();
            quads.map(f32::from_le_bytes).collect()
        }
    }
}
