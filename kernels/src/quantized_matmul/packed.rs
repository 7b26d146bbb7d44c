//! Weights as the kernels read them: tiles of 16 columns, codes of four consecutive `k` together.
//!
//! A tile holds, for each group of 32 along `k`, a few lines of 64 bytes. Byte `4 * column + j` of
//! quad `q` is the code of weight `k = 4 * q + j`, so that one multiply-add instruction takes four
//! products into each column's lane:
//!
//! * 8 bits: line `q` holds quad `q`.
//! * 4 bits: line `q / 2` holds quad `q` in its low (even `q`) or high nibbles.
//! * 5 bits: as 4 bits; the fifth line holds eight bytes a quad, one bit for each byte position.
//! * 6 bits: as 4 bits; line `4 + q / 4` holds two more bits, shifted left by `2 * (q % 4)`.
//!
//! Packing keeps every code and every scale exactly. Scales that files store in half precision stay
//! so, hence 32-weight types take as much memory packed as they take in the file.

use super::blocks::{BlockFormat, GROUP};
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

/// Lines of 64 bytes that a tile's group fills, for codes of `bits`.
pub(crate) const fn lines_per_group(bits: u32) -> usize {
    match bits {
        8 => 8,
        6 => 6,
        5 => 5,
        _ => 4,
    }
}

/// Scales of one column in a group.
pub(crate) const fn scales_per_group(bits: u32) -> usize {
    if bits == 6 { 2 } else { 1 }
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
        let lines = cells * lines_per_group(format.bits());
        let scales = cells * scales_per_group(format.bits()) * TILE;
        let is_product = format.has_product_scales();
        let mut matrix = Self {
            format,
            n,
            k,
            codes: vec![Line([0; 64]); lines],
            scales: Scales::zeroed(scales, is_product),
            minima: format
                .has_minimum()
                .then(|| Scales::zeroed(cells * TILE, is_product)),
        };
        matrix.fill(pool, bytes);
        Ok(matrix)
    }

    fn fill(&mut self, pool: &mut Pool, bytes: &[u8]) {
        let (format, n, k) = (self.format, self.n, self.k);
        let (lines_per_group, parts) = (
            lines_per_group(format.bits()),
            scales_per_group(format.bits()),
        );
        let (groups, row_bytes) = (k / GROUP, format.row_bytes(k));
        let lines = DisjointSlice::new(&mut self.codes);
        let scales = self.scales.disjoint();
        let minima = self.minima.as_mut().map(Scales::disjoint);
        pool.run(n.div_ceil(TILE), &|tile| {
            let rows = &bytes[tile * TILE * row_bytes..n.min((tile + 1) * TILE) * row_bytes];
            for group in 0..groups {
                let cell = tile * groups + group;
                let mut columns = [[0.0; TILE]; 3];
                // SAFETY: each task has the lines, scales and minima of a tile of its own.
                let lines = unsafe { lines.part(cell * lines_per_group, lines_per_group) };
                for (column, row) in rows.chunks_exact(row_bytes).enumerate() {
                    let found = format.group(row, group);
                    put_codes(lines, format, column, &found.codes);
                    let values = [found.scales[0], found.scales[1], found.minimum];
                    (0..3).for_each(|index| columns[index][column] = values[index]);
                }
                // SAFETY: as above.
                unsafe {
                    for part in 0..parts {
                        scales.set((cell * parts + part) * TILE, &columns[part]);
                    }
                    if let Some(minima) = &minima {
                        minima.set(cell * TILE, &columns[2]);
                    }
                }
            }
        });
    }

    fn scale_index(&self, column: usize, group: usize, part: usize) -> usize {
        let cell = column / TILE * (self.k / GROUP) + group;
        (cell * scales_per_group(self.format.bits()) + part) * TILE + column % TILE
    }

    fn minimum_index(&self, column: usize, group: usize) -> usize {
        (column / TILE * (self.k / GROUP) + group) * TILE + column % TILE
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
        let bits = self.format.bits();
        let first_line = index / TILE * (self.k / GROUP) * lines_per_group(bits);
        for (k, weight) in row.iter_mut().enumerate() {
            let group = k / GROUP;
            let lines = &self.codes[first_line + group * lines_per_group(bits)..];
            let code = code_at(lines, bits, index % TILE, k % GROUP) - self.format.zero();
            let part = k % GROUP / 16 * (scales_per_group(bits) - 1);
            let scale = self.scales.get(self.scale_index(index, group, part));
            let minimum = self
                .minima
                .as_ref()
                .map_or(0.0, |it| it.get(self.minimum_index(index, group)));
            *weight = scale.mul_add(f32::from(code), minimum);
        }
    }
}

fn put_codes(lines: &mut [Line], format: BlockFormat, column: usize, codes: &[i16; GROUP]) {
    let bits = format.bits();
    for (k, &code) in codes.iter().enumerate() {
        let (quad, position) = (k / 4, 4 * column + k % 4);
        let code = code as u8;
        if bits == 8 {
            lines[quad].0[position] = code;
            continue;
        }
        lines[quad / 2].0[position] |= (code & 15) << (quad % 2 * 4);
        if bits == 5 {
            lines[4].0[quad * 8 + position / 8] |= (code >> 4) << (position % 8);
        }
        if bits == 6 {
            lines[4 + quad / 4].0[position] |= (code >> 4) << (quad % 4 * 2);
        }
    }
}

fn code_at(lines: &[Line], bits: u32, column: usize, k: usize) -> i16 {
    let (quad, position) = (k / 4, 4 * column + k % 4);
    if bits == 8 {
        return i16::from(lines[quad].0[position].cast_signed());
    }
    let low = lines[quad / 2].0[position] >> (quad % 2 * 4) & 15;
    let high = match bits {
        5 => lines[4].0[quad * 8 + position / 8] >> (position % 8) & 1,
        6 => lines[4 + quad / 4].0[position] >> (quad % 4 * 2) & 3,
        _ => 0,
    };
    i16::from(low | high << 4)
}
