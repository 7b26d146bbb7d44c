//! The same matrices of every expert, each multiplied with the rows that go to its expert.

use sconce_kernels::RowGroups;
use sconce_kernels::dense_matmul::{self, DenseMatrix};
use sconce_kernels::quantized_matmul::{self, PackedMatrix};

use crate::cpu::Cpu;
use crate::linear::Matrix;

/// As a `Linear`, but with matrices of its own for each group of rows. Output rows hold the results of
/// a group's matrices side by side.
#[derive(Debug)]
pub(crate) struct ExpertLinear {
    sets: Vec<Set>,
    /// Nothing, or for each expert one element for each output.
    biases: Vec<f32>,
    width: usize,
    bytes: usize,
}

/// One matrix for each expert, all of one shape and stored alike.
#[derive(Debug)]
struct Set {
    matrices: Matrices,
    first_column: usize,
}

#[derive(Debug)]
enum Matrices {
    Quantized(Vec<PackedMatrix>),
    Dense(Vec<DenseMatrix>),
}

impl ExpertLinear {
    /// Puts sets of matrices side by side; each has one for every expert. There are no biases, or those
    /// of each set, expert after expert.
    pub(crate) fn new(sets: Vec<Vec<Matrix>>, biases: Vec<Vec<f32>>) -> Self {
        let bytes = sets.iter().flatten().map(Matrix::bytes).sum();
        let experts = sets.first().map_or(0, Vec::len);
        let mut linear = Self {
            sets: Vec::new(),
            biases: side_by_side(&biases, experts),
            width: 0,
            bytes,
        };
        for matrices in sets {
            let first_column = linear.width;
            linear.width += matrices.first().map_or(0, Matrix::n);
            let matrices = Matrices::of(matrices);
            linear.sets.push(Set {
                matrices,
                first_column,
            });
        }
        let fits = linear.biases.is_empty() || linear.biases.len() == experts * linear.width;
        assert!(
            fits,
            "the claims check biases to have one element an output"
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

    /// Multiplies the rows of `x`, each of `k` elements and grouped by expert, into `out`.
    pub(crate) fn apply(
        &self,
        cpu: &mut Cpu,
        (x, groups): (&[f32], RowGroups<'_>),
        k: usize,
        out: &mut Vec<f32>,
    ) {
        out.resize(groups.rows() * self.width, 0.0);
        cpu.matmul_calls += 1;
        let is_quantized = |set: &Set| matches!(set.matrices, Matrices::Quantized(_));
        if self.sets.iter().any(is_quantized) {
            cpu.quantized.quantize(cpu.isa, &mut cpu.pool, x, k);
        }
        for set in &self.sets {
            let (width, first_column) = (self.width, set.first_column);
            match &set.matrices {
                Matrices::Quantized(weights) => {
                    let placed = quantized_matmul::PlacedForGroups {
                        weights,
                        width,
                        first_column,
                    };
                    let rows = (&cpu.quantized, groups);
                    quantized_matmul::grouped_matmul(cpu.isa, &mut cpu.pool, rows, placed, out);
                }
                Matrices::Dense(weights) => {
                    let placement = dense_matmul::Placement {
                        width,
                        first_column,
                    };
                    let placed = dense_matmul::PlacedForGroups { weights, placement };
                    let rows = (x, groups);
                    dense_matmul::grouped_matmul(cpu.isa, &mut cpu.pool, rows, placed, out);
                }
            }
        }
        let biases = self.biases.chunks_exact(self.width);
        for (rows, bias) in groups.ranges().zip(biases) {
            for out in
                out[rows.start * self.width..rows.end * self.width].chunks_exact_mut(self.width)
            {
                out.iter_mut()
                    .zip(bias)
                    .for_each(|(out, bias)| *out += bias);
            }
        }
    }
}

/// Each expert's part of every set, expert after expert.
fn side_by_side(sets: &[Vec<f32>], experts: usize) -> Vec<f32> {
    let part = |set: &'_ Vec<f32>, expert: usize| {
        let length = set.len() / experts.max(1);
        set[expert * length..(expert + 1) * length].to_vec()
    };
    let of_expert = |expert: usize| sets.iter().flat_map(move |set| part(set, expert));
    (0..experts).flat_map(of_expert).collect()
}

impl Matrices {
    /// The matrices of one tensor are stored alike, so one list of the two stays empty.
    fn of(matrices: Vec<Matrix>) -> Self {
        let (mut quantized, mut dense) = (Vec::new(), Vec::new());
        for matrix in matrices {
            match matrix {
                Matrix::Quantized(matrix) => quantized.push(matrix),
                Matrix::Dense(matrix) => dense.push(matrix),
            }
        }
        assert!(
            quantized.is_empty() || dense.is_empty(),
            "the experts of one tensor are stored alike"
        );
        if dense.is_empty() {
            Self::Quantized(quantized)
        } else {
            Self::Dense(dense)
        }
    }
}
