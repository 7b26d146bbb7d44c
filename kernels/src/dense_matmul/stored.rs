//! Weights at the widths that files store them in.

use crate::lanes::{LANES, Lanes, half_to_single, load};

/// How wide a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    Single,
    /// 16 bits: a sign, five of exponent, ten of mantissa. Only finite weights are kept as they are.
    Half,
    /// 16 bits: the upper half of single precision.
    Brain,
}

impl Precision {
    /// Bytes of a weight.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Half | Self::Brain => 2,
        }
    }
}

/// A stored weight that kernels are compiled for.
pub(super) trait StoredWeight: Copy + Default + Send + Sync {
    /// The weight in these bytes, as many as it has.
    fn read(bytes: &[u8]) -> Self;

    /// The weight in single precision.
    fn single(self) -> f32;

    /// The first sixteen of `weights` in single precision.
    #[inline(always)]
    fn widen(weights: &[Self]) -> Lanes {
        let mut lanes = [0.0; LANES];
        for (lane, weight) in lanes.iter_mut().zip(&weights[..LANES]) {
            *lane = weight.single();
        }
        lanes
    }
}

impl StoredWeight for f32 {
    fn read(bytes: &[u8]) -> Self {
        Self::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    #[inline(always)]
    fn single(self) -> f32 {
        self
    }

    #[inline(always)]
    fn widen(weights: &[Self]) -> Lanes {
        load(weights)
    }
}

/// Bits in half precision.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Half(u16);

impl StoredWeight for Half {
    fn read(bytes: &[u8]) -> Self {
        Self(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[inline(always)]
    fn single(self) -> f32 {
        half_to_single(self.0)
    }
}

/// The upper half of a single-precision number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brain(u16);

impl StoredWeight for Brain {
    fn read(bytes: &[u8]) -> Self {
        Self(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[inline(always)]
    fn single(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}
