//! Numbers as a tensor type stores them. Where candle has no quantizer, a plain one stands here: it
//! is good enough for random weights, not for a model's.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};
use sconce_kernels::quantized_matmul::{BlockFormat, GROUP};

use crate::gguf::TensorType;

/// `values` stored as `kind`: whole blocks of it.
pub(super) fn stored(values: Vec<f32>, kind: TensorType) -> Result<Vec<u8>> {
    let known = match kind {
        TensorType::F32 => GgmlDType::F32,
        TensorType::F16 => GgmlDType::F16,
        TensorType::Bf16 => GgmlDType::BF16,
        TensorType::Blocks(format) => match format {
            BlockFormat::Q4_0 => GgmlDType::Q4_0,
            BlockFormat::Q4_1 => GgmlDType::Q4_1,
            BlockFormat::Q5_0 => GgmlDType::Q5_0,
            BlockFormat::Q5_1 => GgmlDType::Q5_1,
            BlockFormat::Q8_0 => GgmlDType::Q8_0,
            BlockFormat::Q2K => GgmlDType::Q2K,
            BlockFormat::Q3K => GgmlDType::Q3K,
            BlockFormat::Q4K => GgmlDType::Q4K,
            BlockFormat::Q5K => GgmlDType::Q5K,
            BlockFormat::Q6K => GgmlDType::Q6K,
            BlockFormat::Iq4Nl | BlockFormat::Iq4Xs | BlockFormat::Mxfp4 => {
                let blocks = values.chunks_exact(format.block_weights());
                return Ok(blocks.flat_map(|it| table_block(format, it)).collect());
            }
        },
    };
    let count = values.len();
    let tensor = Tensor::from_vec(values, count, &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, known)?.data()?.into_owned())
}

/// A block of a format whose codes choose from a table. All its groups share one scale.
fn table_block(format: BlockFormat, weights: &[f32]) -> Vec<u8> {
    let largest = weights.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
    let farthest = (0..16).map(|code| format.integer(code).abs()).max();
    let wanted = largest / farthest.unwrap_or(1) as f32;
    let (mut block, scale) = match format {
        BlockFormat::Mxfp4 => {
            let exponent = wanted.log2().ceil().clamp(-100.0, 100.0);
            (vec![(exponent + 128.0) as u8], exponent.exp2())
        }
        _ => {
            let half = half::f16::from_f32(wanted);
            (half.to_le_bytes().to_vec(), half.to_f32())
        }
    };
    if format == BlockFormat::Iq4Xs {
        // Eight six-bit scales of one, each with 32 added: high pairs of 2, low nibbles of 1.
        block.extend([0xaa, 0xaa, 0x11, 0x11, 0x11, 0x11]);
    }
    let nearest = |weight: f32| {
        let distance = |code: &u8| (format.integer(*code) as f32 * scale - weight).abs();
        let best = (0..16_u8).min_by(|left, right| distance(left).total_cmp(&distance(right)));
        best.unwrap_or_default()
    };
    for group in weights.chunks_exact(GROUP) {
        let byte = |k: usize| nearest(group[k]) | nearest(group[k + GROUP / 2]) << 4;
        block.extend((0..GROUP / 2).map(byte));
    }
    block
}
