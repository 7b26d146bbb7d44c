//! What the instruction sets share: taking a tile apart by type and its rows into blocks.

use super::activations::QuantizedRows;
use super::coding::{self, Coded, Coding};
use super::packed::{Line, PackedMatrix, TILE};
use super::scales::{ScaleView, ScaleWidth, StoredScale};
use super::{GROUP, Span};
use crate::isa::prefetch;
use crate::lanes::Lanes;

/// Blocks of rows from which on the next tile is asked for while they are computed.
const PREFETCH_BLOCKS_MIN: usize = 4;
/// Lines that a block asks for at least.
const PREFETCH_LINES_MIN: usize = 8;

/// Rows that a tile is multiplied with at a time: few enough for their totals, and for the activations
/// of a small model, to stay in the first-level cache.
const ROWS_TOGETHER: usize = 32;

/// One tile's weights.
#[derive(Debug)]
pub(crate) struct Tile<'a, S> {
    pub(crate) codes: &'a [Line],
    /// The codes of the tile that follows, as far as there are any: worth asking for.
    pub(crate) next: &'a [Line],
    pub(crate) scales: ScaleView<'a, S>,
    /// Empty for types without a minimum.
    pub(crate) minima: ScaleView<'a, S>,
}

/// Computes a few rows of one tile with one instruction set.
pub(crate) trait TileKernel: Sized {
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

    /// The same for as many rows as there are `results`.
    ///
    /// # Safety
    /// As for `rows`.
    unsafe fn many_rows<C: Coded, S: StoredScale, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes],
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe { in_blocks::<Self, C, S, MINIMUM>(tile, rows, first, results) }
    }
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
    let format = weights.format();
    let kernel = match (format.coding(), format.scale_width(), format.has_minimum()) {
        (Coding::TwoBits, ScaleWidth::Times, true) => typed::<K, coding::TwoBits, i8, true>,
        (Coding::ThreeBits, ScaleWidth::Times, false) => typed::<K, coding::ThreeBits, i8, false>,
        (Coding::FourBits, ScaleWidth::Half, false) => typed::<K, coding::FourBits, u16, false>,
        (Coding::FourBits, ScaleWidth::Half, true) => typed::<K, coding::FourBits, u16, true>,
        (Coding::FourBits, ScaleWidth::Times, true) => typed::<K, coding::FourBits, i8, true>,
        (Coding::FiveBits, ScaleWidth::Half, false) => typed::<K, coding::FiveBits, u16, false>,
        (Coding::FiveBits, ScaleWidth::Half, true) => typed::<K, coding::FiveBits, u16, true>,
        (Coding::FiveBits, ScaleWidth::Times, true) => typed::<K, coding::FiveBits, i8, true>,
        (Coding::SixBits, ScaleWidth::Times, false) => typed::<K, coding::SixBits, i8, false>,
        (Coding::EightBits, ScaleWidth::Half, false) => typed::<K, coding::EightBits, u16, false>,
        (Coding::Curve, ScaleWidth::Half, false) => typed::<K, coding::Curve, u16, false>,
        (Coding::Curve, ScaleWidth::Times, false) => typed::<K, coding::Curve, i8, false>,
        (Coding::Floats, ScaleWidth::Single, false) => typed::<K, coding::Floats, f32, false>,
        _ => unreachable!("no block format has the codes, scales and minima of {format:?}"),
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { kernel(rows, weights, span, write) }
}

unsafe fn typed<K: TileKernel, C: Coded, S: StoredScale, const MINIMUM: bool>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    let (groups, parts) = (weights.k() / GROUP, C::CODING.parts());
    let lines = groups * C::CODING.lines();
    let (codes, behind) = weights.codes()[span.tile * lines..].split_at(lines);
    let tile = Tile {
        codes,
        next: &behind[..behind.len().min(lines)],
        scales: S::view(weights.scales()).of_tile(span.tile, groups, parts),
        minima: match weights.minima() {
            Some(minima) if MINIMUM => S::view(minima).of_tile(span.tile, groups, parts),
            _ => ScaleView::EMPTY,
        },
    };
    let mut results = [[0.0; TILE]; ROWS_TOGETHER];
    for first in (span.first_row..span.last_row).step_by(ROWS_TOGETHER) {
        let results = &mut results[..ROWS_TOGETHER.min(span.last_row - first)];
        // SAFETY: the tile was cut to its groups above; the instruction set is the caller's promise.
        unsafe { K::many_rows::<C, S, MINIMUM>(&tile, rows, first, results) };
        for (row, lanes) in (first..).zip(results.iter()) {
            write(row, lanes);
        }
    }
}

/// Multiplies rows in blocks that the registers can hold.
///
/// # Safety
/// As for `TileKernel::rows`.
pub(crate) unsafe fn in_blocks<K: TileKernel, C: Coded, S: StoredScale, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes],
) {
    let count = results.len();
    let mut done = 0;
    while done < count {
        prefetch_share(tile.next, count / K::ROWS_MAX, done / K::ROWS_MAX);
        let (first, results) = (first + done, &mut results[done..]);
        // SAFETY: the caller's promise is passed on.
        done += unsafe {
            match results.len().min(K::ROWS_MAX) {
                8.. => block::<K, C, S, 8, MINIMUM>(tile, rows, first, results),
                4.. => block::<K, C, S, 4, MINIMUM>(tile, rows, first, results),
                2.. => block::<K, C, S, 2, MINIMUM>(tile, rows, first, results),
                _ => block::<K, C, S, 1, MINIMUM>(tile, rows, first, results),
            }
        };
    }
}

/// Asks for a share of the next tile while one of `blocks` blocks of rows passes by this one, so that
/// its first rows need not wait for memory. All lines at once would stall on outstanding misses, and for
/// a few rows the processor's own prefetching does better.
#[inline(always)]
fn prefetch_share(next: &[Line], blocks: usize, block: usize) {
    if blocks >= PREFETCH_BLOCKS_MIN {
        let share = next.len().div_ceil(blocks).max(PREFETCH_LINES_MIN);
        for line in next.iter().skip(block * share).take(share) {
            prefetch(line);
        }
    }
}

unsafe fn block<K: TileKernel, C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    results: &mut [Lanes],
) -> usize {
    let Some(results) = results.first_chunk_mut::<ROWS>() else {
        unreachable!("a block is no larger than what is left");
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { K::rows::<C, S, ROWS, MINIMUM>(tile, rows, first, results) };
    ROWS
}
