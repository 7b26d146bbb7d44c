//! From a file and its spec to an encoder.

use half::{bf16, f16};
use sconce_kernels::Isa;
use sconce_kernels::dense_matmul::{DenseMatrix, Precision};

use super::claims::{self, Names};
use super::layer::{EncoderLayer, Norm, Scratch};
use super::spec::{EncoderOutput, EncoderSpec};
use super::{Encoder, ScoreHead};
use crate::cpu::Cpu;
use crate::linear::{Linear, Matrix};
use crate::load_error::LoadError;
use crate::safetensors::SafetensorsFile;

/// Rows that are looked up.
#[derive(Debug)]
pub(super) struct Table {
    values: Vec<f32>,
    width: usize,
}

impl Table {
    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.values[..])
    }
}

impl Encoder {
    /// Bytes that the weights of `spec` take once they are loaded from `file`. Norms and biases are vectors
    /// and do not count: a few kilobytes a layer.
    pub(super) fn bytes_of(file: &SafetensorsFile, spec: &EncoderSpec) -> Result<u64, LoadError> {
        claims::check(spec, file)?;
        let names = Names::of(file);
        let mut bytes = 0;
        for (name, shape) in claims::claims_of(spec, names) {
            let &[rows, width] = &shape[..] else {
                continue;
            };
            let taken = match names.is_table(&name) {
                true => rows * width * size_of::<f32>(),
                false => DenseMatrix::bytes_of(precision_of(file, &name)?, [rows, width]),
            };
            bytes += taken as u64;
        }
        Ok(bytes)
    }

    /// Loads the weights that `spec` claims from `file`, which must hold them and nothing else.
    pub fn load(
        file: &SafetensorsFile,
        spec: EncoderSpec,
        (threads, isa): (usize, Isa),
    ) -> Result<Self, LoadError> {
        claims::check(&spec, file)?;
        let mut loader = Loader {
            file,
            names: Names::of(file),
            cpu: Cpu::new(isa, threads),
        };
        let part = |name: &str| loader.names.part(name);
        let words = loader.table(&part("embeddings.word_embeddings.weight"), spec.hidden)?;
        let positions =
            loader.table(&part("embeddings.position_embeddings.weight"), spec.hidden)?;
        let segments = loader.table(
            &part("embeddings.token_type_embeddings.weight"),
            spec.hidden,
        )?;
        let norm = loader.norm(&part("embeddings.LayerNorm"))?;
        let layers = (0..spec.layers).map(|index| loader.layer(index, &spec));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let score = match spec.output {
            EncoderOutput::Vector(_) => None,
            EncoderOutput::Score => Some(ScoreHead {
                pooler: loader.linear(&[loader.names.part("pooler.dense")])?,
                classifier: loader.linear(&["classifier".to_owned()])?,
            }),
        };
        Ok(Self {
            spec,
            cpu: loader.cpu,
            words,
            positions,
            segments,
            norm,
            layers,
            score,
            state: Vec::new(),
            scratch: Scratch::default(),
        })
    }
}

fn precision_of(file: &SafetensorsFile, name: &str) -> Result<Precision, LoadError> {
    let precision = file.tensor(name)?.kind.precision();
    Ok(precision.expect("the claims check that each tensor can be computed with"))
}

struct Loader<'a> {
    file: &'a SafetensorsFile,
    names: Names,
    cpu: Cpu,
}

impl Loader<'_> {
    fn layer(&mut self, index: usize, spec: &EncoderSpec) -> Result<EncoderLayer, LoadError> {
        let names = self.names;
        let part = |name: &str| names.in_layer(index, name);
        let attention = ["query", "key", "value"].map(|it| part(&format!("attention.self.{it}")));
        Ok(EncoderLayer {
            query_key_value: self.linear(&attention)?,
            heads: spec.heads,
            attention_output: self.linear(&[part("attention.output.dense")])?,
            attention_norm: self.norm(&part("attention.output.LayerNorm"))?,
            up: self.linear(&[part("intermediate.dense")])?,
            bend: spec.bend,
            down: self.linear(&[part("output.dense")])?,
            output_norm: self.norm(&part("output.LayerNorm"))?,
            norm_epsilon: spec.norm_epsilon,
        })
    }

    /// The matrices and biases of `names`, side by side.
    fn linear(&mut self, names: &[String]) -> Result<Linear, LoadError> {
        let mut matrices = Vec::new();
        let mut bias = Vec::new();
        for name in names {
            matrices.push(Matrix::Dense(self.matrix(&format!("{name}.weight"))?));
            bias.extend(self.values(&format!("{name}.bias"))?);
        }
        Ok(Linear::new(matrices, Some(bias)))
    }

    fn matrix(&mut self, name: &str) -> Result<DenseMatrix, LoadError> {
        let shape = &self.file.tensor(name)?.shape;
        let shape = [shape[0], shape[1]];
        let precision = precision_of(self.file, name)?;
        let mapped = self.file.map_tensor(name)?;
        let pool = &mut self.cpu.pool;
        Ok(DenseMatrix::pack(pool, precision, shape, mapped.bytes()))
    }

    fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"))?,
            bias: self.values(&format!("{name}.bias"))?,
        })
    }

    fn table(&self, name: &str, width: usize) -> Result<Table, LoadError> {
        let values = self.values(name)?;
        Ok(Table { values, width })
    }

    /// A tensor's elements in single precision.
    fn values(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let precision = precision_of(self.file, name)?;
        let mapped = self.file.map_tensor(name)?;
        let bytes = mapped.bytes();
        let pair = |it: &[u8]| [it[0], it[1]];
        Ok(match precision {
            Precision::Single => {
                let single = |it: &[u8]| f32::from_le_bytes([it[0], it[1], it[2], it[3]]);
                bytes.chunks_exact(4).map(single).collect()
            }
            Precision::Half => {
                let half = |it: &[u8]| f16::from_le_bytes(pair(it)).to_f32();
                bytes.chunks_exact(2).map(half).collect()
            }
            Precision::Brain => {
                let brain = |it: &[u8]| bf16::from_le_bytes(pair(it)).to_f32();
                bytes.chunks_exact(2).map(brain).collect()
            }
        })
    }
}
