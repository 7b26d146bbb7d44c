//! A weight matrix, or several that read the same input, whatever they are quantized to.
//!
//! The decoder never knows how weights are stored. Matrices that share their input (query, key and
//! value; gate and up) are one `Linear`, so that their activations are quantized once.

use sconce_kernels::dense_matmul::{self, DenseMatrix};
use sconce_kernels::quantized_matmul;
use sconce_kernels::quantized_matmul::{PackedMatrix, Placed};

use crate::cpu::Cpu;

/// Rows that a thread adds a bias to at least: fewer are done sooner than shared.
const BIAS_ROWS_MIN: usize = 32;

/// One matrix as it was loaded.
#[derive(Debug)]
pub(crate) enum Matrix {
    /// Quantized weights, packed for the kernels.
    Quantized(PackedMatrix),
    /// Weights that are not quantized, as wide as they are stored.
    Dense(DenseMatrix),
}

impl Matrix {
    pub(crate) fn n(&self) -> usize {
        match self {
            Self::Quantized(matrix) => matrix.n(),
            Self::Dense(matrix) => matrix.n(),
        }
    }

    /// Bytes of memory the weights take.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Quantized(matrix) => matrix.bytes(),
            Self::Dense(matrix) => matrix.bytes(),
        }
    }
}

/// Matrices with a common input. Output rows hold their results side by side.
#[derive(Debug)]
pub(crate) struct Linear {
    quantized: Vec<PackedMatrix>,
    quantized_columns: Vec<usize>,
    dense: Vec<(DenseMatrix, usize)>,
    bias: Option<Vec<f32>>,
    width: usize,
    bytes: usize,
}

impl Linear {
    /// Puts `matrices` side by side and adds `bias` to their results.
    pub(crate) fn new(matrices: Vec<Matrix>, bias: Option<Vec<f32>>) -> Self {
        let bytes = matrices.iter().map(Matrix::bytes).sum();
        let mut linear = Self {
            quantized: Vec::new(),
            quantized_columns: Vec::new(),
            dense: Vec::new(),
            bias,
            width: 0,
            bytes,
        };
        for matrix in matrices {
            let first_column = linear.width;
            linear.width += matrix.n();
            match matrix {
                Matrix::Quantized(matrix) => {
                    linear.quantized.push(matrix);
                    linear.quantized_columns.push(first_column);
                }
                Matrix::Dense(matrix) => linear.dense.push((matrix, first_column)),
            }
        }
        let fits = linear
            .bias
            .as_ref()
            .is_none_or(|bias| bias.len() == linear.width);
        assert!(
            fits,
            "the claims check a bias to have one element an output"
        );
        linear
    }

    /// Length of an output row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Bytes of memory the weights take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Multiplies the rows of `x`, each of `k` elements, into `out`.
    pub(crate) fn apply(&self, cpu: &mut Cpu, x: &[f32], k: usize, out: &mut Vec<f32>) {
        let rows = x.len() / k;
        out.resize(rows * self.width, 0.0);
        cpu.matmul_calls += 1;
        if !self.quantized.is_empty() {
            cpu.quantized.quantize(cpu.isa, &mut cpu.pool, x, k);
            let placed = Placed {
                weights: &self.quantized,
                first_columns: &self.quantized_columns,
                width: self.width,
            };
            quantized_matmul::matmul(cpu.isa, &mut cpu.pool, &cpu.quantized, placed, out);
        }
        for (matrix, first_column) in &self.dense {
            let placement = dense_matmul::Placement {
                width: self.width,
                first_column: *first_column,
            };
            dense_matmul::matmul(cpu.isa, &mut cpu.pool, x, matrix, (out, placement));
        }
        if let Some(bias) = &self.bias {
            let rows = cpu.pool.part_length(rows, BIAS_ROWS_MIN);
            cpu.pool.run_parts(out, rows * self.width, &|_, part| {
                for row in part.chunks_exact_mut(self.width) {
                    row.iter_mut()
                        .zip(bias)
                        .for_each(|(out, bias)| *out += bias);
                }
            });
        }
    }

    /// Writes row `index` of the only matrix to `row`: an embedding.
    pub(crate) fn embed(&self, index: usize, row: &mut [f32]) {
        match (&self.quantized[..], &self.dense[..]) {
            ([matrix], []) => matrix.dequantize_row(index, row),
            ([], [(matrix, _)]) => matrix.copy_row(index, row),
            _ => unreachable!("an embedding is one matrix"),
        }
    }
}
