//! The kernel in plain Rust: for processors without vector instructions we know, and the proof that
//! the packed layout says what the vector kernels take it to say.

use super::activations::QuantizedRows;
use super::packed::{Line, TILE, lines_per_group, scales_per_group};
use super::scales::StoredScale;
use super::tile::{Tile, TileKernel, zero_code};
use crate::lanes::{Lanes, fused};

/// The kernel without vector instructions.
pub(crate) struct Portable;

impl TileKernel for Portable {
    const ROWS_MAX: usize = 4;

    unsafe fn rows<const ROWS: usize, const BITS: u32, const MINIMUM: bool, S: StoredScale>(
        tile: &Tile<'_, S>,
        rows: &QuantizedRows,
        first: usize,
        results: &mut [Lanes; ROWS],
    ) {
        for row in 0..ROWS {
            results[row] = one_row::<BITS, MINIMUM, S>(tile, rows, first + row);
        }
    }
}

fn one_row<const BITS: u32, const MINIMUM: bool, S: StoredScale>(
    tile: &Tile<'_, S>,
    rows: &QuantizedRows,
    row: usize,
) -> Lanes {
    let parts = scales_per_group(BITS);
    let mut total = [0.0; TILE];
    for (group, x) in rows.row(row).iter().enumerate() {
        let lines = &tile.codes[group * lines_per_group(BITS)..];
        for part in 0..parts {
            let sum_x = x.code_sum::<BITS>(part);
            let quads = part * 8 / parts..(part + 1) * 8 / parts;
            let products = integer_sums::<BITS>(lines, &x.codes, quads);
            let centred = products.map(|it| (it - zero_code(BITS, MINIMUM) * sum_x) as f32);
            let scales = S::widen(&tile.scales[(group * parts + part) * TILE..]);
            total = fused(scales.map(|it| it * x.scale), centred, total);
            if MINIMUM {
                let minima = S::widen(&tile.minima[group * TILE..]);
                total = fused(minima, [x.scaled_sum; TILE], total);
            }
        }
    }
    total
}

fn integer_sums<const BITS: u32>(
    lines: &[Line],
    codes: &[i8],
    quads: std::ops::Range<usize>,
) -> [i32; TILE] {
    let mut sums = [0; TILE];
    for quad in quads {
        for position in 0..64 {
            let weight = match BITS {
                8 => i32::from(lines[quad].0[position].cast_signed()),
                _ => {
                    let low = lines[quad / 2].0[position] >> (quad % 2 * 4) & 15;
                    let high = match BITS {
                        5 => lines[4].0[quad * 8 + position / 8] >> (position % 8) & 1,
                        6 => lines[4 + quad / 4].0[position] >> (quad % 4 * 2) & 3,
                        _ => 0,
                    };
                    i32::from(low | high << 4)
                }
            };
            sums[position / 4] += weight * i32::from(codes[quad * 4 + position % 4]);
        }
    }
    sums
}
