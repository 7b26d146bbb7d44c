//! Scales of a packed matrix, at the width that holds them exactly.

use super::blocks::Scale;
use super::packed::TILE;
use crate::DisjointSlice;
use crate::lanes::{Lanes, half_to_single, single_to_half};

/// Groups of a column that share a unit: those of a block of 256 weights.
pub(crate) const GROUPS_PER_UNIT: usize = 8;

/// How wide scales are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleWidth {
    /// As half-precision bits: what 32-weight blocks store.
    Half,
    /// As single precision: powers of two, and products of a unit and how often it is taken.
    Single,
    /// As how often a unit is taken, with the units apart: a quarter of the memory.
    Times,
}

/// A list of scales or minima in groups of sixteen, one for each column of a tile.
#[derive(Debug, Clone)]
pub(crate) enum Scales {
    Half(Vec<u16>),
    Single(Vec<f32>),
    Times { times: Vec<i8>, units: Vec<f32> },
}

impl Scales {
    /// For so many groups of sixteen columns, with so many scales each.
    pub(crate) fn zeroed(width: ScaleWidth, cells: usize, parts: usize) -> Self {
        let length = cells * parts * TILE;
        match width {
            ScaleWidth::Half => Self::Half(vec![0; length]),
            ScaleWidth::Single => Self::Single(vec![0.0; length]),
            ScaleWidth::Times => Self::Times {
                times: vec![0; length],
                units: vec![0.0; cells.div_ceil(GROUPS_PER_UNIT) * TILE],
            },
        }
    }

    /// Bytes of as many as [`Scales::zeroed`] makes.
    pub(crate) fn bytes_of(width: ScaleWidth, cells: usize, parts: usize) -> usize {
        let length = cells * parts * TILE;
        match width {
            ScaleWidth::Half => length * size_of::<u16>(),
            ScaleWidth::Single => length * size_of::<f32>(),
            ScaleWidth::Times => length + cells.div_ceil(GROUPS_PER_UNIT) * TILE * size_of::<f32>(),
        }
    }

    pub(crate) fn disjoint(&mut self) -> DisjointScales<'_> {
        match self {
            Self::Half(scales) => DisjointScales::Half(DisjointSlice::new(scales)),
            Self::Single(scales) => DisjointScales::Single(DisjointSlice::new(scales)),
            Self::Times { times, units } => {
                DisjointScales::Times(DisjointSlice::new(times), DisjointSlice::new(units))
            }
        }
    }

    /// A column's scale in one part of a cell: a group of sixteen columns.
    pub(crate) fn get(&self, cell: usize, (part, parts): (usize, usize), column: usize) -> f32 {
        let index = (cell * parts + part) * TILE + column;
        match self {
            Self::Half(scales) => half_to_single(scales[index]),
            Self::Single(scales) => scales[index],
            Self::Times { times, units } => {
                units[cell / GROUPS_PER_UNIT * TILE + column] * f32::from(times[index])
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Half(scales) => size_of_val(&scales[..]),
            Self::Single(scales) => size_of_val(&scales[..]),
            Self::Times { times, units } => size_of_val(&times[..]) + size_of_val(&units[..]),
        }
    }
}

/// Scales that several tasks fill, each its own tiles.
#[derive(Debug)]
pub(crate) enum DisjointScales<'a> {
    Half(DisjointSlice<'a, u16>),
    Single(DisjointSlice<'a, f32>),
    Times(DisjointSlice<'a, i8>, DisjointSlice<'a, f32>),
}

impl DisjointScales<'_> {
    /// Writes the scales of a cell's sixteen columns in one of its parts.
    ///
    /// # Safety
    /// No other task may write to the same cell, nor to one that shares its units.
    pub(crate) unsafe fn set(
        &self,
        cell: usize,
        (part, parts): (usize, usize),
        values: &[Scale; TILE],
    ) {
        let index = (cell * parts + part) * TILE;
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match self {
                Self::Half(scales) => {
                    let bits = values.map(|it| single_to_half(it.value()));
                    scales.part(index, TILE).copy_from_slice(&bits);
                }
                Self::Single(scales) => {
                    let singles = values.map(Scale::value);
                    scales.part(index, TILE).copy_from_slice(&singles);
                }
                Self::Times(times, units) => {
                    let place = cell / GROUPS_PER_UNIT * TILE;
                    times
                        .part(index, TILE)
                        .copy_from_slice(&values.map(|it| it.times));
                    units
                        .part(place, TILE)
                        .copy_from_slice(&values.map(|it| it.unit));
                }
            }
        }
    }
}

/// The scales of a tile as a kernel reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScaleView<'a, S> {
    /// Sixteen for each part of each group.
    pub(crate) values: &'a [S],
    /// Sixteen for each eight groups, where values say how often a unit is taken; else empty.
    pub(crate) units: &'a [f32],
}

impl<'a, S> ScaleView<'a, S> {
    /// No scales at all.
    pub(crate) const EMPTY: Self = Self {
        values: &[],
        units: &[],
    };

    /// The scales of one tile of `groups` groups with `parts` scales each.
    pub(crate) fn of_tile(self, tile: usize, groups: usize, parts: usize) -> Self {
        let (values, units) = (groups * parts * TILE, groups / GROUPS_PER_UNIT * TILE);
        Self {
            values: &self.values[tile * values..(tile + 1) * values],
            units: match self.units {
                [] => &[],
                all => &all[tile * units..(tile + 1) * units],
            },
        }
    }
}

/// A stored scale that kernels are compiled for.
pub(crate) trait StoredScale: Copy + Sync {
    /// The scales of this width.
    fn view(scales: &Scales) -> ScaleView<'_, Self>;

    /// A group's sixteen scales in one of `parts` parts, in single precision.
    fn widen(view: ScaleView<'_, Self>, group: usize, part: (usize, usize)) -> Lanes;
}

const OTHER_WIDTH: &str = "the kernel is chosen by the width";

impl StoredScale for u16 {
    fn view(scales: &Scales) -> ScaleView<'_, Self> {
        match scales {
            Scales::Half(values) => ScaleView { values, units: &[] },
            _ => unreachable!("{OTHER_WIDTH}"),
        }
    }

    #[inline(always)]
    fn widen(view: ScaleView<'_, Self>, group: usize, (part, parts): (usize, usize)) -> Lanes {
        let values = &view.values[(group * parts + part) * TILE..][..TILE];
        std::array::from_fn(|lane| half_to_single(values[lane]))
    }
}

impl StoredScale for f32 {
    fn view(scales: &Scales) -> ScaleView<'_, Self> {
        match scales {
            Scales::Single(values) => ScaleView { values, units: &[] },
            _ => unreachable!("{OTHER_WIDTH}"),
        }
    }

    #[inline(always)]
    fn widen(view: ScaleView<'_, Self>, group: usize, (part, parts): (usize, usize)) -> Lanes {
        let values = &view.values[(group * parts + part) * TILE..][..TILE];
        std::array::from_fn(|lane| values[lane])
    }
}

impl StoredScale for i8 {
    fn view(scales: &Scales) -> ScaleView<'_, Self> {
        match scales {
            Scales::Times { times, units } => ScaleView {
                values: times,
                units,
            },
            _ => unreachable!("{OTHER_WIDTH}"),
        }
    }

    #[inline(always)]
    fn widen(view: ScaleView<'_, Self>, group: usize, (part, parts): (usize, usize)) -> Lanes {
        let values = &view.values[(group * parts + part) * TILE..][..TILE];
        let units = &view.units[group / GROUPS_PER_UNIT * TILE..][..TILE];
        std::array::from_fn(|lane| units[lane] * f32::from(values[lane]))
    }
}
