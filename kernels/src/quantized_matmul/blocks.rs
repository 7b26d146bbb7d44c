//! GGUF's block formats, read one group of 32 weights at a time.
//!
//! Source of the layouts: the GGUF quantization types as ggml defines them (`block_q4_1`,
//! `block_q6_K` and so on). Every format becomes `weight = scale * (code - zero) + minimum`, where
//! `code` is unsigned except for eight-bit formats.

use half::f16;

/// Weights in a group: the span of `k` that shares a scale.
pub const GROUP: usize = 32;

/// A block format of GGUF whose products this crate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockFormat {
    /// 32 weights of 4 bits, one scale.
    Q4_0,
    /// 32 weights of 4 bits, a scale and a minimum.
    Q4_1,
    /// 32 weights of 5 bits, one scale.
    Q5_0,
    /// 32 weights of 5 bits, a scale and a minimum.
    Q5_1,
    /// 32 weights of 8 bits, one scale.
    Q8_0,
    /// 256 weights of 4 bits, a scale and a minimum for each 32.
    Q4K,
    /// 256 weights of 5 bits, a scale and a minimum for each 32.
    Q5K,
    /// 256 weights of 6 bits, a scale for each 16.
    Q6K,
}

/// Thirty-two weights of one row, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The integer codes.
    pub codes: [i16; GROUP],
    /// The scales of the first and the second sixteen weights.
    pub scales: [f32; 2],
    /// Added to every weight.
    pub minimum: f32,
}

impl BlockFormat {
    /// Weights in a block.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `k` weights.
    #[must_use]
    pub fn row_bytes(self, k: usize) -> usize {
        k / self.block_weights() * self.block_bytes()
    }

    /// Bits of a code.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => 4,
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => 5,
            Self::Q6K => 6,
            Self::Q8_0 => 8,
        }
    }

    /// The code that stands for zero.
    #[must_use]
    pub fn zero(self) -> i16 {
        match self {
            Self::Q4_0 => 8,
            Self::Q5_0 => 16,
            Self::Q6K => 32,
            Self::Q4_1 | Self::Q5_1 | Self::Q8_0 | Self::Q4K | Self::Q5K => 0,
        }
    }

    /// Whether weights have a minimum that is not a multiple of their scale.
    #[must_use]
    pub fn has_minimum(self) -> bool {
        matches!(self, Self::Q4_1 | Self::Q5_1 | Self::Q4K | Self::Q5K)
    }

    /// Whether scales are products, which half precision cannot hold exactly.
    pub(crate) fn has_product_scales(self) -> bool {
        matches!(self, Self::Q4K | Self::Q5K | Self::Q6K)
    }

    /// Group number `index` of a row that begins at `row[0]`.
    ///
    /// # Panics
    /// If the row is too short for that group.
    #[must_use]
    pub fn group(self, row: &[u8], index: usize) -> Group {
        let groups_per_block = self.block_weights() / GROUP;
        let start = index / groups_per_block * self.block_bytes();
        let block = &row[start..start + self.block_bytes()];
        let part = index % groups_per_block;
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => self.small_block(block),
            Self::Q8_0 => eight_bits(block),
            Self::Q4K => four_or_five_bits_k(block, part, None),
            Self::Q5K => four_or_five_bits_k(block, part, Some(16)),
            Self::Q6K => six_bits_k(block, part),
        }
    }

    /// Q4_0, Q4_1, Q5_0, Q5_1: a scale, perhaps a minimum, perhaps 32 fifth bits, then sixteen bytes
    /// whose low nibbles are the first sixteen codes and whose high nibbles are the others.
    fn small_block(self, block: &[u8]) -> Group {
        let fifth_bits = if self.has_minimum() { 4 } else { 2 };
        let nibbles = if self.bits() == 5 {
            fifth_bits + 4
        } else {
            fifth_bits
        };
        let mut codes = [0; GROUP];
        for pair in 0..16 {
            let byte = block[nibbles + pair];
            codes[pair] = i16::from(byte & 15);
            codes[pair + 16] = i16::from(byte >> 4);
        }
        if self.bits() == 5 {
            for (k, code) in codes.iter_mut().enumerate() {
                *code |= i16::from(block[fifth_bits + k / 8] >> (k % 8) & 1) << 4;
            }
        }
        let minimum = if self.has_minimum() {
            half_at(block, 2)
        } else {
            0.0
        };
        Group {
            codes,
            scales: [half_at(block, 0); 2],
            minimum,
        }
    }
}

fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

fn eight_bits(block: &[u8]) -> Group {
    let codes = std::array::from_fn(|k| i16::from(block[2 + k].cast_signed()));
    Group {
        codes,
        scales: [half_at(block, 0); 2],
        minimum: 0.0,
    }
}

/// The six-bit scale and minimum of one of the eight groups in a Q4_K or Q5_K block.
fn scale_and_minimum(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 63, packed[group + 4] & 63);
    }
    let low = packed[group + 4];
    let scale = (low & 15) | (packed[group - 4] >> 6 << 4);
    let minimum = (low >> 4) | (packed[group] >> 6 << 4);
    (scale, minimum)
}

/// Q4_K and Q5_K: two half-precision scales of scales, twelve bytes of scales, perhaps 32 bytes of
/// fifth bits (bit `group` of byte `k`), then 32 bytes of nibbles for each pair of groups.
fn four_or_five_bits_k(block: &[u8], group: usize, fifth_bits: Option<usize>) -> Group {
    let (scale, minimum) = scale_and_minimum(&block[4..16], group);
    let nibbles = fifth_bits.map_or(16, |offset| offset + 32) + group / 2 * 32;
    let shift = group % 2 * 4;
    let codes = std::array::from_fn(|k| {
        let low = block[nibbles + k] >> shift & 15;
        let high = fifth_bits.map_or(0, |offset| block[offset + k] >> group & 1);
        i16::from(low | high << 4)
    });
    Group {
        codes,
        scales: [half_at(block, 0) * f32::from(scale); 2],
        minimum: -(half_at(block, 2) * f32::from(minimum)),
    }
}

/// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, one scale of scales.
/// Each half of the block (128 weights) is four groups that share 64 low and 32 high bytes.
fn six_bits_k(block: &[u8], group: usize) -> Group {
    let (half, quarter) = (group / 4, group % 4);
    let low_bytes = &block[half * 64 + quarter % 2 * 32..];
    let high_bytes = &block[128 + half * 32..];
    let codes = std::array::from_fn(|k| {
        let low = low_bytes[k] >> (quarter / 2 * 4) & 15;
        let high = high_bytes[k] >> (quarter * 2) & 3;
        i16::from(low | high << 4)
    });
    let scale_of_scales = half_at(block, 208);
    let scale = |index: usize| scale_of_scales * f32::from(block[192 + index].cast_signed());
    Group {
        codes,
        scales: [scale(group * 2), scale(group * 2 + 1)],
        minimum: 0.0,
    }
}
