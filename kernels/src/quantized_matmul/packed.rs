//! Weights as the kernels read them: tiles of 16 columns, codes of four consecutive `k` together.
//!
//! A tile holds, for each group of 32 along `k`, a few lines of 64 bytes. Byte `4 * column + j` of
//! quad `q` is the code of weight `k = 4 * q + j`, so that one multiply-add instruction takes four
//! products into each column's lane:
//!
//! * 8 bits: line `q` holds quad `q`.
//! * 4 bits: line `q / 2` holds quad `q` in its low (even `q`) or high nibbles.
//! * 2 bits: line `q / 4` holds quad `q`, shifted left by `2 * (q % 4)`.
//! * 3 and 5 bits: as one fewer; the line behind holds eight bytes a quad, one bit for each byte position.
//! * 6 bits: as 4 bits; line `4 + q / 4` holds two more bits, shifted left by `2 * (q % 4)`.
//!
//! Packing keeps every code and every scale exactly. Scales that files store in half precision stay
//! so, hence 32-weight types take as much memory packed as they take in the file. Scales that are
//! whole multiples of a unit stay so in types of 2 and 3 bits, where they would outweigh the codes.

use super::blocks::{BlockFormat, GROUP, Scale};
use super::coding::Coding;
use super::scales::Scales;
use crate::{DisjointSlice, Pool};

/// Columns of a tile.
pub(crate) const TILE: usize = 16;

/// A cache line of codes.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

/// A quantized weight matrix of shape `[n, k]`: `n` outputs, each a row of `k` weights in the file.
#[derive(Debug)]
pub struct PackedMatrix {
    format: BlockFormat,
    n: usize,
    k: usize,
    codes: Vec<Line>,
    scales: Scales,
    minima: Option<Scales>,
}

/// Why a matrix cannot be packed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackError {
    /// The row length does not fit the format.
    #[error("rows of {k} weights are not whole blocks of {block_weights}")]
    RowLength {
        /// The row length.
        k: usize,
        /// Weights in a block of the format.
        block_weights: usize,
    },
    /// The bytes are not the matrix.
    #[error("{found} bytes given for a matrix of {wanted}")]
    ByteLength {
        /// Bytes the shape needs.
        wanted: usize,
        /// Bytes given.
        found: usize,
    },
}

impl PackedMatrix {
    /// Packs the matrix whose rows lie in `bytes` as the file has them.
    pub fn pack(
        pool: &mut Pool,
        format: BlockFormat,
        shape: [usize; 2],
        bytes: &[u8],
    ) -> Result<Self, PackError> {
        let [n, k] = shape;
        if k == 0 || !k.is_multiple_of(format.block_weights()) {
            return Err(PackError::RowLength {
                k,
                block_weights: format.block_weights(),
            });
        }
        let wanted = n * format.row_bytes(k);
        if wanted != bytes.len() {
            return Err(PackError::ByteLength {
                wanted,
                found: bytes.len(),
            });
        }
        let cells = n.div_ceil(TILE) * (k / GROUP);
        let coding = format.coding();
        let scales = Scales::zeroed(format.scale_width(), cells, coding.parts());
        let mut matrix = Self {
            format,
            n,
            k,
            codes: vec![Line([0; 64]); cells * coding.lines()],
            minima: format.has_minimum().then(|| scales.clone()),
            scales,
        };
        matrix.fill(pool, bytes);
        Ok(matrix)
    }

    fn fill(&mut self, pool: &mut Pool, bytes: &[u8]) {
        let (format, n, k) = (self.format, self.n, self.k);
        let (lines_per_group, parts) = (format.coding().lines(), format.coding().parts());
        let (groups, row_bytes) = (k / GROUP, format.row_bytes(k));
        let lines = DisjointSlice::new(&mut self.codes);
        let scales = self.scales.disjoint();
        let minima = self.minima.as_mut().map(Scales::disjoint);
        pool.run(n.div_ceil(TILE), &|tile| {
            let rows = &bytes[tile * TILE * row_bytes..n.min((tile + 1) * TILE) * row_bytes];
            for group in 0..groups {
                let cell = tile * groups + group;
                let mut columns = [[[Scale::NONE; TILE]; 2]; 2];
                // SAFETY: each task has the lines, scales and minima of a tile of its own.
                let lines = unsafe { lines.part(cell * lines_per_group, lines_per_group) };
                for (column, row) in rows.chunks_exact(row_bytes).enumerate() {
                    let found = format.group(row, group);
                    put_codes(lines, format.coding(), column, &found.codes);
                    for part in 0..parts {
                        columns[part][0][column] = found.scales[part];
                        columns[part][1][column] = found.minima[part];
                    }
                }
                // SAFETY: as above.
                unsafe {
                    for part in 0..parts {
                        scales.set(cell, (part, parts), &columns[part][0]);
                        if let Some(minima) = &minima {
                            minima.set(cell, (part, parts), &columns[part][1]);
                        }
                    }
                }
            }
        });
    }

    /// Number of outputs.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Length of a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The format the weights came in.
    #[must_use]
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// Bytes of memory the weights take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.codes[..])
            + self.scales.bytes()
            + self.minima.as_ref().map_or(0, Scales::bytes)
    }

    /// Bytes of memory that a matrix of this shape will take, known before it is packed.
    #[must_use]
    pub fn bytes_of(format: BlockFormat, [n, k]: [usize; 2]) -> usize {
        let (cells, coding) = (n.div_ceil(TILE) * (k / GROUP), format.coding());
        let scales = Scales::bytes_of(format.scale_width(), cells, coding.parts());
        let minima = if format.has_minimum() { scales } else { 0 };
        cells * coding.lines() * size_of::<Line>() + scales + minima
    }

    pub(crate) fn tiles(&self) -> usize {
        self.n.div_ceil(TILE)
    }

    pub(crate) fn codes(&self) -> &[Line] {
        &self.codes
    }

    pub(crate) fn scales(&self) -> &Scales {
        &self.scales
    }

    pub(crate) fn minima(&self) -> Option<&Scales> {
        self.minima.as_ref()
    }

    /// Writes the weights of output `index` to `row`, in single precision.
    ///
    /// # Panics
    /// If there is no such output or `row` is not `k` long.
    pub fn dequantize_row(&self, index: usize, row: &mut [f32]) {
        assert!(index < self.n, "row {index} of {}", self.n);
        assert_eq!(row.len(), self.k, "a row has k weights");
        let coding = self.format.coding();
        let first_line = index / TILE * (self.k / GROUP) * coding.lines();
        for (k, weight) in row.iter_mut().enumerate() {
            let group = k / GROUP;
            let lines = &self.codes[first_line + group * coding.lines()..];
            let code = code_at(lines, coding, 4 * (index % TILE) + k % 4, k % GROUP / 4);
            let part = k % GROUP / 16 * (coding.parts() - 1);
            let place = (
                index / TILE * (self.k / GROUP) + group,
                (part, coding.parts()),
            );
            let get = |scales: &Scales| scales.get(place.0, place.1, index % TILE);
            let (scale, minimum) = (get(&self.scales), self.minima.as_ref().map_or(0.0, get));
            *weight = scale.mul_add(self.format.integer(code) as f32, minimum);
        }
    }
}

fn put_codes(lines: &mut [Line], coding: Coding, column: usize, codes: &[u8; GROUP]) {
    let (low_bits, high_bits) = (coding.low_bits(), coding.high_bits());
    let quads_per_line = 8 / low_bits;
    for (k, &code) in codes.iter().enumerate() {
        let (quad, position) = (k / 4, 4 * column + k % 4);
        let low = code & (u8::MAX >> (8 - low_bits));
        lines[quad / quads_per_line].0[position] |= low << (quad % quads_per_line * low_bits);
        match high_bits {
            1 => lines[low_bits].0[quad * 8 + position / 8] |= code >> low_bits << (position % 8),
            2 => lines[low_bits + quad / 4].0[position] |= code >> low_bits << (quad % 4 * 2),
            _ => {}
        }
    }
}

/// The code at byte `position` of a quad.
#[inline(always)]
pub(crate) fn code_at(lines: &[Line], coding: Coding, position: usize, quad: usize) -> u8 {
    let (low_bits, high_bits) = (coding.low_bits(), coding.high_bits());
    let quads_per_line = 8 / low_bits;
    let byte = lines[quad / quads_per_line].0[position];
    let low = byte >> (quad % quads_per_line * low_bits) & (u8::MAX >> (8 - low_bits));
    match high_bits {
        1 => low | (lines[low_bits].0[quad * 8 + position / 8] >> (position % 8) & 1) << low_bits,
        2 => low | (lines[low_bits + quad / 4].0[position] >> (quad % 4 * 2) & 3) << low_bits,
        _ => low,
    }
}
