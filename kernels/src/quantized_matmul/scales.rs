//! Scales of a packed matrix, at the width that holds them exactly.

use crate::DisjointSlice;
use crate::lanes::{LANES, Lanes, half_to_single, single_to_half};

/// A list of scales or minima in groups of sixteen, one for each column of a tile.
#[derive(Debug, Clone)]
pub(crate) enum Scales {
    /// As half-precision bits: what 32-weight blocks store.
    Half(Vec<u16>),
    /// As single precision: products of a scale and a scale of scales, or powers of two.
    Single(Vec<f32>),
}

impl Scales {
    pub(crate) fn zeroed(length: usize, is_half: bool) -> Self {
        if is_half {
            Self::Half(vec![0; length])
        } else {
            Self::Single(vec![0.0; length])
        }
    }

    pub(crate) fn disjoint(&mut self) -> DisjointScales<'_> {
        match self {
            Self::Half(scales) => DisjointScales::Half(DisjointSlice::new(scales)),
            Self::Single(scales) => DisjointScales::Single(DisjointSlice::new(scales)),
        }
    }

    pub(crate) fn get(&self, index: usize) -> f32 {
        match self {
            Self::Half(scales) => half_to_single(scales[index]),
            Self::Single(scales) => scales[index],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Half(scales) => size_of_val(&scales[..]),
            Self::Single(scales) => size_of_val(&scales[..]),
        }
    }
}

/// Scales that several tasks fill, each its own tiles.
#[derive(Debug)]
pub(crate) enum DisjointScales<'a> {
    Half(DisjointSlice<'a, u16>),
    Single(DisjointSlice<'a, f32>),
}

impl DisjointScales<'_> {
    /// Writes the scales of one tile's sixteen columns.
    ///
    /// # Safety
    /// No other task may write the same index.
    pub(crate) unsafe fn set(&self, index: usize, values: &Lanes) {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match self {
                Self::Half(scales) => {
                    scales
                        .part(index, LANES)
                        .copy_from_slice(&values.map(single_to_half));
                }
                Self::Single(scales) => scales.part(index, LANES).copy_from_slice(values),
            }
        }
    }
}

/// A stored scale that kernels are compiled for.
pub(crate) trait StoredScale: Copy + Sync {
    /// Sixteen scales in single precision.
    fn widen(scales: &[Self]) -> Lanes;
}

impl StoredScale for u16 {
    #[inline(always)]
    fn widen(scales: &[Self]) -> Lanes {
        std::array::from_fn(|lane| half_to_single(scales[lane]))
    }
}

impl StoredScale for f32 {
    #[inline(always)]
    fn widen(scales: &[Self]) -> Lanes {
        std::array::from_fn(|lane| scales[lane])
    }
}
