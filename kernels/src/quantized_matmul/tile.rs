//! What the instruction sets share: taking a tile apart by type and its rows into blocks.

use super::activations::QuantizedRows;
use super::packed::{Line, PackedMatrix, TILE, lines_per_group, scales_per_group};
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

/// The code that stands for zero in a type of `bits` with or without a minimum.
pub(crate) const fn zero_code(bits: u32, has_minimum: bool) -> i32 {
    match bits {
        8 => 0,
        _ if has_minimum => 0,
        bits => 1 << (bits - 1),
    }
}

/// The code that stands for zero after 128 was added to signed codes.
#[cfg(target_arch = "x86_64")]
pub(crate) const fn unsigned_zero(bits: u32, has_minimum: bool) -> i32 {
    if bits == 8 {
        128
    } else {
        zero_code(bits, has_minimum)
    }
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
    unsafe fn rows<const ROWS: usize, const BITS: u32, const MINIMUM: bool, S: StoredScale>(
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
        match (weights.format().bits(), weights.scales(), weights.minima()) {
            (4, Scales::Half(scales), None) => {
                typed::<K, 4, false, u16>(rows, weights, (scales, &[]), span, write);
            }
            (4, Scales::Half(scales), Some(Scales::Half(minima))) => {
                typed::<K, 4, true, u16>(rows, weights, (scales, minima), span, write);
            }
            (4, Scales::Single(scales), Some(Scales::Single(minima))) => {
                typed::<K, 4, true, f32>(rows, weights, (scales, minima), span, write);
            }
            (5, Scales::Half(scales), None) => {
                typed::<K, 5, false, u16>(rows, weights, (scales, &[]), span, write);
            }
            (5, Scales::Half(scales), Some(Scales::Half(minima))) => {
                typed::<K, 5, true, u16>(rows, weights, (scales, minima), span, write);
            }
            (5, Scales::Single(scales), Some(Scales::Single(minima))) => {
                typed::<K, 5, true, f32>(rows, weights, (scales, minima), span, write);
            }
            (6, Scales::Single(scales), None) => {
                typed::<K, 6, false, f32>(rows, weights, (scales, &[]), span, write);
            }
            (8, Scales::Half(scales), None) => {
                typed::<K, 8, false, u16>(rows, weights, (scales, &[]), span, write);
            }
            _ => unreachable!(
                "no block format has {:?}'s bits, scales and minima",
                weights.format()
            ),
        }
    }
}

unsafe fn typed<K: TileKernel, const BITS: u32, const MINIMUM: bool, S: StoredScale>(
    rows: &QuantizedRows,
    weights: &PackedMatrix,
    (scales, minima): (&[S], &[S]),
    span: Span,
    write: &mut dyn FnMut(usize, &Lanes),
) {
    let groups = weights.k() / GROUP;
    let part = |length: usize| span.tile * length..(span.tile + 1) * length;
    let tile = Tile {
        codes: &weights.codes()[part(groups * lines_per_group(BITS))],
        scales: &scales[part(groups * scales_per_group(BITS) * TILE)],
        minima: if MINIMUM {
            &minima[part(groups * TILE)]
        } else {
            &[]
        },
    };
    let next = weights
        .codes()
        .get(part(groups * lines_per_group(BITS)).end..)
        .unwrap_or_default();
    let next = &next[..next.len().min(tile.codes.len())];
    let mut row = span.first_row;
    while row < span.last_row {
        prefetch_share(next, span, row, K::ROWS_MAX);
        let left = (span.last_row - row).min(K::ROWS_MAX);
        // SAFETY: the tile was cut to its groups above; the instruction set is the caller's promise.
        row += unsafe {
            match left {
                8.. => block::<K, 8, BITS, MINIMUM, S>(&tile, rows, row, write),
                4.. => block::<K, 4, BITS, MINIMUM, S>(&tile, rows, row, write),
                2.. => block::<K, 2, BITS, MINIMUM, S>(&tile, rows, row, write),
                _ => block::<K, 1, BITS, MINIMUM, S>(&tile, rows, row, write),
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

unsafe fn block<
    K: TileKernel,
    const ROWS: usize,
    const BITS: u32,
    const MINIMUM: bool,
    S: StoredScale,
>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    first: usize,
    write: &mut dyn FnMut(usize, &Lanes),
) -> usize {
    let mut results = [[0.0; TILE]; ROWS];
    // SAFETY: the caller's promise is passed on.
    unsafe { K::rows::<ROWS, BITS, MINIMUM, S>(tile, rows, first, &mut results) };
    for (index, lanes) in results.iter().enumerate() {
        write(first + index, lanes);
    }
    ROWS
}
