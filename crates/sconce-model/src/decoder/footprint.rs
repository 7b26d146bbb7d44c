//! What a decoder will take in memory, known from the file's header alone.

use sconce_kernels::dense_matmul::{DenseMatrix, Precision};
use sconce_kernels::paged_attention::KvType;
use sconce_kernels::quantized_matmul::PackedMatrix;

use super::Decoder;
use super::kv_layout::layer_block_bytes;
use crate::arch::{ArchSpec, FeedForward, Head, LayerSpec, Mask, Mixer};
use crate::claims::{Claim, LayerPart, TensorRole};
use crate::gguf::TensorType;
use crate::load_error::LoadError;
use crate::weights_file::WeightsFile;

impl Decoder {
    /// Bytes that the weights of `spec` take once they are loaded from `file`: what
    /// [`Decoder::memory_use`] tells then.
    pub fn weight_bytes(file: &dyn WeightsFile, spec: &ArchSpec) -> Result<u64, LoadError> {
        let mut bytes = 0;
        for claim in spec.claims() {
            if let Some((count, shape)) = matrices(&claim) {
                let kind = file.tensor(&claim.role.name())?.kind;
                bytes += (count * matrix_bytes(kind, shape)) as u64;
            }
        }
        Ok(bytes)
    }

    /// What a step of the decoder that `spec` describes reads and multiplies, by its rows. `kv_type` is
    /// that of its cache.
    pub fn step_work(
        file: &dyn WeightsFile,
        spec: &ArchSpec,
        kv_type: KvType,
    ) -> Result<StepWork, LoadError> {
        let mut work = StepWork::default();
        for claim in spec.claims() {
            let Some((count, shape)) = matrices(&claim) else {
                continue;
            };
            let kind = file.tensor(&claim.role.name())?.kind;
            let (bytes, products) = (matrix_bytes(kind, shape) as f64, shape[0] * shape[1]);
            let chosen = experts_chosen(spec, &claim, count);
            match (claim.role, chosen) {
                // Only the rows of the step's tokens are read.
                (TensorRole::Embedding, _) if spec.head == Head::Own => {}
                (TensorRole::Embedding | TensorRole::Head, _) => {
                    work.matrix_bytes += bytes;
                    work.products_per_logit_row += products as f64;
                }
                (_, None) => {
                    work.matrix_bytes += bytes;
                    work.products_per_row += products as f64;
                }
                (_, Some(chosen)) => {
                    work.expert_bytes += bytes * count as f64;
                    work.expert_share = chosen as f64 / count as f64;
                    work.products_per_row += (products * chosen) as f64;
                }
            }
        }
        work.caches = spec.layers.iter().map(|it| reads(it, kv_type)).collect();
        Ok(work)
    }
}

/// What a step reads and multiplies at least: weights once, whatever its rows, and the keys and values
/// of each sequence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepWork {
    /// Bytes of the matrices that every step reads.
    pub matrix_bytes: f64,
    /// Bytes of all experts' matrices.
    pub expert_bytes: f64,
    /// The share of the experts that one token goes to.
    pub expert_share: f64,
    /// Multiplications of weights that a row takes in the layers.
    pub products_per_row: f64,
    /// Those of a row whose logits are wanted.
    pub products_per_logit_row: f64,
    caches: Vec<CacheReads>,
}

/// What one layer reads of its cache.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CacheReads {
    bytes_per_position: f64,
    /// The positions that a query sees at most.
    positions_max: usize,
}

impl StepWork {
    /// Bytes of weights that a step of `rows` rows reads. Of experts it reads those that any of its rows
    /// goes to: so many are expected if a row's experts are as likely as any others.
    #[must_use]
    pub fn weight_bytes(&self, rows: usize) -> f64 {
        let missed = (1.0 - self.expert_share).powf(rows as f64);
        self.matrix_bytes + self.expert_bytes * (1.0 - missed)
    }

    /// Bytes of keys and values that a query reads when its sequence has so many positions.
    #[must_use]
    pub fn cache_bytes(&self, positions: usize) -> f64 {
        let bytes =
            |it: &CacheReads| it.bytes_per_position * positions.min(it.positions_max) as f64;
        self.caches.iter().map(bytes).sum()
    }
}

fn reads(layer: &LayerSpec, kv_type: KvType) -> CacheReads {
    let Mixer::Attention(attention) = &layer.mixer;
    CacheReads {
        bytes_per_position: layer_block_bytes(layer, kv_type) as f64 / Decoder::BLOCK_TOKENS as f64,
        positions_max: match attention.mask {
            Mask::Causal => usize::MAX,
            Mask::Window(positions) => positions,
        },
    }
}

/// How many of a tensor's `count` matrices a token goes through, if they are experts.
fn experts_chosen(spec: &ArchSpec, claim: &Claim, count: usize) -> Option<usize> {
    match claim.role {
        TensorRole::Layer(layer, _) if count > 1 => match &spec.layers[layer].feed_forward {
            FeedForward::Experts(experts) => Some(experts.chosen),
            FeedForward::Gated(_) => None,
        },
        _ => None,
    }
}

/// How many matrices a tensor is packed as, and the shape of each. Norms and biases are vectors and do
/// not count: a few kilobytes a layer.
fn matrices(claim: &Claim) -> Option<(usize, [usize; 2])> {
    use LayerPart::{ExpertDownBiases, ExpertGateBiases, ExpertUpBiases, SharedRouter};
    match (claim.role, &claim.shape[..]) {
        (TensorRole::Layer(_, ExpertGateBiases | ExpertUpBiases | ExpertDownBiases), _) => None,
        (TensorRole::Layer(_, SharedRouter), &[k]) => Some((1, [1, k])),
        (_, &[n, k]) => Some((1, [n, k])),
        (_, &[count, n, k]) => Some((count, [n, k])),
        _ => None,
    }
}

fn matrix_bytes(kind: TensorType, shape: [usize; 2]) -> usize {
    match kind {
        TensorType::F32 => DenseMatrix::bytes_of(Precision::Single, shape),
        TensorType::F16 => DenseMatrix::bytes_of(Precision::Half, shape),
        TensorType::Bf16 => DenseMatrix::bytes_of(Precision::Brain, shape),
        TensorType::Blocks(format) => PackedMatrix::bytes_of(format, shape),
    }
}
