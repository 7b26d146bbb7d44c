//! GGUF's block formats, read one group of 32 weights at a time.
//!
//! Source of the layouts: the GGUF quantization types as ggml defines them (`block_q4_1`,
//! `block_q6_K` and so on). Every format becomes `weight = scale * integer + minimum`, where a code
//! is the integer itself, the integer plus a zero, or its place in a table.

use half::f16;

use super::scales::ScaleWidth;

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
    /// 256 weights of 2 bits, a scale and a minimum for each 16.
    Q2K,
    /// 256 weights of 3 bits, a scale for each 16.
    Q3K,
    /// 256 weights of 4 bits, a scale and a minimum for each 32.
    Q4K,
    /// 256 weights of 5 bits, a scale and a minimum for each 32.
    Q5K,
    /// 256 weights of 6 bits, a scale for each 16.
    Q6K,
    /// 32 weights of 4 bits that choose from a curve of integers, one scale.
    Iq4Nl,
    /// 256 weights of 4 bits that choose from the same curve, a scale for each 32.
    Iq4Xs,
    /// 32 numbers of 4 bits with an exponent, one power of two as scale.
    Mxfp4,
}

/// Thirty-two weights of one row, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The codes as they are packed; eight bits are signed.
    pub codes: [u8; GROUP],
    /// The scales of the first and the second sixteen weights.
    pub scales: [Scale; 2],
    /// Added to each of the first and of the second sixteen weights.
    pub minima: [Scale; 2],
}

/// A unit, and how often it is taken. Units are half-precision numbers, so the product is exact in
/// single precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The same for all groups of a block.
    pub unit: f32,
    /// A whole number of eight bits at most.
    pub times: i8,
}

impl Scale {
    pub(super) const NONE: Self = Self::once(0.0);

    const fn once(unit: f32) -> Self {
        Self { unit, times: 1 }
    }

    /// The scale itself.
    #[must_use]
    pub fn value(self) -> f32 {
        self.unit * f32::from(self.times)
    }
}

impl BlockFormat {
    /// Weights in a block.
    #[must_use]
    pub fn block_weights(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => GROUP,
            Self::Iq4Nl | Self::Mxfp4 => GROUP,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Iq4Xs => 136,
            Self::Mxfp4 => 17,
        }
    }

    /// Bytes of a row of `k` weights.
    #[must_use]
    pub fn row_bytes(self, k: usize) -> usize {
        k / self.block_weights() * self.block_bytes()
    }

    /// The integer that `code` stands for: what its scale is multiplied with.
    #[must_use]
    pub fn integer(self, code: u8) -> i32 {
        self.coding().integer(code) - self.coding().zero(self.has_minimum())
    }

    /// Whether weights have a minimum that is not a multiple of their scale.
    #[must_use]
    pub fn has_minimum(self) -> bool {
        matches!(
            self,
            Self::Q4_1 | Self::Q5_1 | Self::Q2K | Self::Q4K | Self::Q5K
        )
    }

    /// The width that holds the scales exactly. Half precision does not hold products, nor all powers
    /// of two.
    pub(crate) fn scale_width(self) -> ScaleWidth {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => ScaleWidth::Half,
            Self::Q8_0 | Self::Iq4Nl => ScaleWidth::Half,
            Self::Mxfp4 => ScaleWidth::Single,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => {
                ScaleWidth::Times
            }
        }
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
            Self::Iq4Nl => Group::scaled(nibbles(&block[2..]), Scale::once(half_at(block, 0))),
            Self::Mxfp4 => Group::scaled(nibbles(&block[1..]), Scale::once(power_of_two(block[0]))),
            Self::Q2K => two_bits_k(block, part),
            Self::Q3K => three_bits_k(block, part),
            Self::Q4K => four_or_five_bits_k(block, part, None),
            Self::Q5K => four_or_five_bits_k(block, part, Some(16)),
            Self::Q6K => six_bits_k(block, part),
            Self::Iq4Xs => curve_of_256(block, part),
        }
    }

    /// Q4_0, Q4_1, Q5_0, Q5_1: a scale, perhaps a minimum, perhaps 32 fifth bits, then nibbles.
    fn small_block(self, block: &[u8]) -> Group {
        let fifth_bits = if self.has_minimum() { 4 } else { 2 };
        let has_fifth_bits = matches!(self, Self::Q5_0 | Self::Q5_1);
        let first_nibbles = fifth_bits + if has_fifth_bits { 4 } else { 0 };
        let mut codes = nibbles(&block[first_nibbles..]);
        if has_fifth_bits {
            for (k, code) in codes.iter_mut().enumerate() {
                *code |= (block[fifth_bits + k / 8] >> (k % 8) & 1) << 4;
            }
        }
        let minimum = if self.has_minimum() {
            half_at(block, 2)
        } else {
            0.0
        };
        Group {
            minima: [Scale::once(minimum); 2],
            ..Group::scaled(codes, Scale::once(half_at(block, 0)))
        }
    }
}

impl Group {
    /// Codes with one scale and no minimum.
    fn scaled(codes: [u8; GROUP], scale: Scale) -> Self {
        Self {
            codes,
            scales: [scale; 2],
            minima: [Scale::NONE; 2],
        }
    }
}

/// Sixteen bytes whose low nibbles are the first sixteen codes and whose high nibbles are the others.
fn nibbles(bytes: &[u8]) -> [u8; GROUP] {
    std::array::from_fn(|k| bytes[k % 16] >> (k / 16 * 4) & 15)
}

fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

fn eight_bits(block: &[u8]) -> Group {
    let scale = Scale::once(half_at(block, 0));
    Group::scaled(std::array::from_fn(|k| block[2 + k]), scale)
}

/// Half of two to the power of `exponent - 127`: the codes of MXFP4 stand for halves. The smallest
/// exponents make subnormal numbers.
fn power_of_two(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(1 << (21 + exponent)),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}

/// The codes of a group in the blocks of 256 with two bits each: the groups of each half of the block
/// share 32 bytes.
fn bit_pairs(bytes: &[u8], group: usize) -> [u8; GROUP] {
    let (half, shift) = (group / 4, group % 4 * 2);
    std::array::from_fn(|k| bytes[half * GROUP + k] >> shift & 3)
}

/// Q2_K: sixteen bytes of a four-bit scale and a four-bit minimum each, 64 bytes of bit pairs, and two
/// half-precision scales of them.
fn two_bits_k(block: &[u8], group: usize) -> Group {
    let both = [block[group * 2], block[group * 2 + 1]];
    Group {
        codes: bit_pairs(&block[16..], group),
        scales: both.map(|it| times(half_at(block, 80), it & 15)),
        minima: both.map(|it| times(-half_at(block, 82), it >> 4)),
    }
}

/// Q3_K: 32 bytes of third bits (bit `group` of byte `k`), 64 bytes of bit pairs, twelve bytes of
/// six-bit scales with 32 added, one scale of scales.
fn three_bits_k(block: &[u8], group: usize) -> Group {
    let low = bit_pairs(&block[32..], group);
    let packed = &block[96..108];
    let scale = |index: usize| {
        let low = packed[index % 8] >> (index / 8 * 4) & 15;
        let high = packed[8 + index % 4] >> (index / 4 * 2) & 3;
        Scale {
            unit: half_at(block, 108),
            times: (low | high << 4).cast_signed() - 32,
        }
    };
    Group {
        codes: std::array::from_fn(|k| low[k] | (block[k] >> group & 1) << 2),
        scales: [scale(group * 2), scale(group * 2 + 1)],
        minima: [Scale::NONE; 2],
    }
}

/// IQ4_XS: a scale of scales, the high bit pairs of eight six-bit scales with 32 added, their low
/// nibbles, then sixteen bytes of nibbles for each group.
fn curve_of_256(block: &[u8], group: usize) -> Group {
    let low = block[4 + group / 2] >> (group % 2 * 4) & 15;
    let high = u16::from_le_bytes([block[2], block[3]]) >> (group * 2) & 3;
    let scale = Scale {
        unit: half_at(block, 0),
        times: (low | (high << 4) as u8).cast_signed() - 32,
    };
    Group::scaled(nibbles(&block[8 + group * 16..]), scale)
}

/// A unit that is taken as often as the byte says, read as signed.
fn times(unit: f32, times: u8) -> Scale {
    Scale {
        unit,
        times: times.cast_signed(),
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
        low | high << 4
    });
    Group {
        codes,
        scales: [times(half_at(block, 0), scale); 2],
        minima: [times(-half_at(block, 2), minimum); 2],
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
        low | high << 4
    });
    let scale = |index: usize| times(half_at(block, 208), block[192 + index]);
    Group {
        codes,
        scales: [scale(group * 2), scale(group * 2 + 1)],
        minima: [Scale::NONE; 2],
    }
}
