//! What the instruction sets share: taking a tile apart by type and its rows into blocks.

use super::activations::QuantizedRows;
use super::coding::{self, Coded, Coding};
use super::packed::{Line, PackedMatrix, TILE};
use super::scales::{Scales, StoredScale};
use super::{GROUP, Span};
use crate::isa::prefetch;
use crate::lanes::Lanes;

/// Blocks of rows from which on the next tile is asked for while they are computed.
const PREFETCH_BLOCKS_MIN: usize = 4;
/// Lines that a block asks for at least.
const PREFETCH_LINES_MIN: usize = 8;

/// One tile's weights.
#[derive(Debug)]
pub(crate) struct Tile<'a, S> {
    pub(crate) codes: &'a [Line],
    pub(crate) scales: &'a [S],
    /// Empty for types without a minimum.
    pub(crate) minima: &'a [S],
}

/// Computes a few rows of one tile with one instruction set.
pub(crate) trait TileKernel {
    /// Rows that the registers can hold at once: a power of two, at most 8.
    const ROWS_MAX: usize;

    /// Puts the products of `ROWS` rows from `first` on with the tile's columns into `results`.
    ///
    /// # Safety
    /// The processor must have the kernel's instruction set, and the tile must have `k / 32` groups of
    /// codes, scales and, if `MINIMUM`, minima.
    unsafe fn rows<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    );
}

/// Multiplies the span's rows by its tile and hands each row's sixteen results to `write`.
///
/// # Safety
/// The processor must have the kernel's instruction set.
pub(crate) unsafe fn multiply_tile<K: TileKernel>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (weights.scales(), weights.minima()) {
            (Scales::Half(scales), None) => {
                half_scaled::<K>(rows, weights, (scales, None), span, write);
            }
            (Scales::Half(scales), Some(Scales::Half(minima))) => {
                half_scaled::<K>(rows, weights, (scales, Some(minima)), span, write);
            }
            (Scales::Single(scales), None) => {
                single_scaled::<K>(rows, weights, (scales, None), span, write);
            }
            (Scales::Single(scales), Some(Scales::Single(minima))) => {
                single_scaled::<K>(rows, weights, (scales, Some(minima)), span, write);
            }
            _ => unreachable!("minima are stored as scales are"),
        }
    }
}

/// A tile whose scales and minima are in half precision.
unsafe fn half_scaled<K: TileKernel>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    stored: (&[u16], Option<&[u16]>),
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (weights.format().coding(), stored) {
            (Coding::FourBits, (scales, None)) => {
                typed::<K, coding::FourBits, u16, false>(rows, weights, (scales, &[]), span, write);
            }
            (Coding::FourBits, (scales, Some(minima))) => {
                typed::<K, coding::FourBits, u16, true>(
                    rows,
                    weights,
                    (scales, minima),
                    span,
                    write,
                );
            }
            (Coding::FiveBits, (scales, None)) => {
                typed::<K, coding::FiveBits, u16, false>(rows, weights, (scales, &[]), span, write);
            }
            (Coding::FiveBits, (scales, Some(minima))) => {
                typed::<K, coding::FiveBits, u16, true>(
                    rows,
                    weights,
                    (scales, minima),
                    span,
                    write,
                );
            }
            (Coding::EightBits, (scales, None)) => {
                typed::<K, coding::EightBits, u16, false>(
                    rows,
                    weights,
                    (scales, &[]),
                    span,
                    write,
                );
            }
            (Coding::Curve, (scales, None)) => {
                typed::<K, coding::Curve, u16, false>(rows, weights, (scales, &[]), span, write);
            }
            _ => unreachable!(
                "no format has {:?}'s codes, scales and minima",
                weights.format()
            ),
        }
    }
}

/// A tile whose scales and minima are in single precision.
unsafe fn single_scaled<K: TileKernel>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    stored: (&[f32], Option<&[f32]>),
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (weights.format().coding(), stored) {
            (Coding::TwoBits, (scales, Some(minima))) => {
                typed::<K, coding::TwoBits, f32, true>(
                    rows,
                    weights,
                    (scales, minima),
                    span,
                    write,
                );
            }
            (Coding::ThreeBits, (scales, None)) => {
                typed::<K, coding::ThreeBits, f32, false>(
                    rows,
                    weights,
                    (scales, &[]),
                    span,
                    write,
                );
            }
            (Coding::FourBits, (scales, Some(minima))) => {
                typed::<K, coding::FourBits, f32, true>(
                    rows,
                    weights,
                    (scales, minima),
                    span,
                    write,
                );
            }
            (Coding::FiveBits, (scales, Some(minima))) => {
                typed::<K, coding::FiveBits, f32, true>(
                    rows,
                    weights,
                    (scales, minima),
                    span,
                    write,
                );
            }
            (Coding::SixBits, (scales, None)) => {
                typed::<K, coding::SixBits, f32, false>(rows, weights, (scales, &[]), span, write);
            }
            (Coding::Curve, (scales, None)) => {
                typed::<K, coding::Curve, f32, false>(rows, weights, (scales, &[]), span, write);
            }
            (Coding::Floats, (scales, None)) => {
                typed::<K, coding::Floats, f32, false>(rows, weights, (scales, &[]), span, write);
            }
            _ => unreachable!(
                "no format has {:?}'s codes, scales and minima",
                weights.format()
            ),
        }
    }
}

unsafe fn typed<K: TileKernel, C: Coded, S: StoredScale, const MINIMUM: bool>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    (scales, minima): (&[S], &[S]),
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    let groups = weights.k() / GROUP;
    let part = |length: usize| span.tile * length..(span.tile + 1) * length;
    let tile = Tile {
        codes: &weights.codes()[part(groups * C::CODING.lines())],
        scales: &scales[part(groups * C::CODING.parts() * TILE)],
        minima: if MINIMUM {
            &minima[part(groups * C::CODING.parts() * TILE)]
        } else {
            &[]
        },
    };
    let next = weights
        .codes()
        .get(part(groups * C::CODING.lines()).end..)
        .unwrap_or_default();
    let next = &next[..next.len().min(tile.codes.len())];
    let mut row = span.first_row;
    while row < span.last_row {
        prefetch_share(next, span, row, K::ROWS_MAX);
        let left = (span.last_row - row).min(K::ROWS_MAX);
        // SAFETY: the tile was cut to its groups above; the instruction set is the caller's promise.
        row += unsafe {
            match left {
                8.. => block::<K, C, S, 8, MINIMUM>(&tile, rows, row, write),
                4.. => block::<K, C, S, 4, MINIMUM>(&tile, rows, row, write),
                2.. => block::<K, C, S, 2, MINIMUM>(&tile, rows, row, write),
                _ => block::<K, C, S, 1, MINIMUM>(&tile, rows, row, write),
            }
        };
    }
}

/// Asks for a share of the next tile while the rows from `row` on pass by this one, so that its first
/// rows need not wait for memory. The first blocks ask, each for a few lines: all lines at once would
/// stall on outstanding misses, and for a few rows the processor's own prefetching does better.
#[inline(always)]
fn prefetch_share(next: &[Line], span: Span, row: usize, block_rows: usize) {
    let blocks = (span.last_row - span.first_row) / block_rows;
    if blocks >= PREFETCH_BLOCKS_MIN {
        let share = next.len().div_ceil(blocks).max(PREFETCH_LINES_MIN);
        let first = (row - span.first_row) / block_rows * share;
        for line in next.iter().skip(first).take(share) {
            prefetch(line);
        }
    }
}

unsafe fn block<K: TileKernel, C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    write: &mut dyn FnMut(usize, &Lanes),
) -> usize {
    let mut results = [[0.0; TILE]; ROWS];
    // SAFETY: the caller's promise is passed on.
    unsafe { K::rows::<C, S, ROWS, MINIMUM>(tile, rows, first, &mut results) };
    for (index, lanes) in results.iter().enumerate() {
        write(first + index, lanes);
    }
    ROWS
}
