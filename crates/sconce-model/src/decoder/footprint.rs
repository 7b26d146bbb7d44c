//! What a decoder will take in memory, known from the file's header alone.

use sconce_kernels::dense_matmul::{DenseMatrix, Precision};
use sconce_kernels::quantized_matmul::PackedMatrix;

use super::Decoder;
use crate::arch::ArchSpec;
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
