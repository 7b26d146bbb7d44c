//! The kernel in plain Rust: for processors without vector instructions we know, and the proof that
//! the packed layout says what the vector kernels take it to say.

use super::activations::QuantizedRows;
use super::coding::Coded;
use super::packed::{Line, TILE, code_at};
use super::scales::StoredScale;
use super::tile::{Tile, TileKernel};
use crate::lanes::{Lanes, fused};

/// The kernel without vector instructions.
pub(crate) struct Portable;

impl TileKernel for Portable {
    const ROWS_MAX: usize = 4;

    unsafe fn rows<C: Coded, S: StoredScale, const ROWS: usize, const MINIMUM: bool>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    ) {
        for row in 0..ROWS {
            results[row] = one_row::<C, S, MINIMUM>(tile, rows, first + row);
        }
    }
}

fn one_row<C: Coded, S: StoredScale, const MINIMUM: bool>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    row: usize,
) -> Lanes {
    let (coding, parts) = (C::CODING, C::CODING.parts());
    let zero = coding.zero(MINIMUM);
    let mut total = [0.0; TILE];
    for (group, x) in rows.row(row).iter().enumerate() {
        let lines = &tile.codes[group * coding.lines()..];
        for part in 0..parts {
            let zeros = zero * x.code_sum::<C>(part);
            let quads = part * 8 / parts..(part + 1) * 8 / parts;
            let products = integer_sums::<C>(lines, &x.codes, quads);
            let centred = products.map(|it| (it - zeros) as f32);
            let scales = S::widen(tile.scales, group, (part, parts));
            total = fused(scales.map(|it| it * x.scale), centred, total);
            if MINIMUM {
                let minima = S::widen(tile.minima, group, (part, parts));
                total = fused(minima, [x.scaled_code_sum::<C>(part); TILE], total);
            }
        }
    }
    total
}

fn integer_sums<C: Coded>(
    lines: &[Line],
    codes: &[i8],
    quads: std::ops::Range<usize>,
) -> [i32; TILE] {
    let mut sums = [0; TILE];
    for quad in quads {
        for position in 0..64 {
            let weight = C::CODING.integer(code_at(lines, C::CODING, position, quad));
            sums[position / 4] += weight * i32::from(codes[quad * 4 + position % 4]);
        }
    }
    sums
}
