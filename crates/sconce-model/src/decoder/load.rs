//! From a file and its spec to a decoder: each tensor is mapped, packed and let go of in turn.

use sconce_kernels::dense_matmul::DenseMatrix;
use sconce_kernels::paged_attention::KvCache;
use sconce_kernels::quantized_matmul::PackedMatrix;
use sconce_kernels::rope::{Angles, Pairing};

use super::layer::{AttentionBlock, FeedForwardBlock, Layer, Scratch};
use super::{Decoder, DecoderSettings};
use crate::arch::{
    Activation, ArchSpec, Attention, FeedForward, Head, LayerSpec, Mask, Mixer, NormPlacement,
    Projections, Rope, RopePairing, RopeStretch,
};
use crate::claims::{LayerPart, TensorRole};
use crate::cpu::Cpu;
use crate::gguf::{GgufFile, TensorType};
use crate::linear::{Linear, Matrix};
use crate::load_error::{LoadError, LoadFault};

impl Decoder {
    /// Loads the weights that `spec` claims from `file`. `progress` is called with the share of
    /// layers that are ready, from 0 to 1.
    pub fn load(
        file: &GgufFile,
        spec: ArchSpec,
        settings: DecoderSettings,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Self, LoadError> {
        let mut loader = Loader {
            file,
            cpu: Cpu::new(settings.isa, settings.threads),
        };
        let embedding = Linear::new(vec![loader.matrix(TensorRole::Embedding)?], None);
        let head = match spec.head {
            Head::TiedToEmbedding => None,
            Head::Own => Some(Linear::new(vec![loader.matrix(TensorRole::Head)?], None)),
        };
        let mut layers = Vec::with_capacity(spec.layers.len());
        let mut caches = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            progress(index as f32 / spec.layers.len() as f32);
            layers.push(loader.layer(index, layer, spec.norm_epsilon)?);
            let Mixer::Attention(attention) = &layer.mixer;
            loader.check_head_dim(attention.head_dim)?;
            caches.push(KvCache::new(
                settings.kv_blocks,
                attention.kv_heads,
                attention.head_dim,
            ));
        }
        progress(1.0);
        let Mixer::Attention(first) = &spec.layers[0].mixer;
        Ok(Self {
            frequencies: loader.frequencies(first.rope)?,
            head_norm: loader.vector(TensorRole::HeadNorm)?,
            spec,
            cpu: loader.cpu,
            embedding,
            head,
            layers,
            caches,
            angles: Angles::default(),
            state: Vec::new(),
            scratch: Scratch::default(),
            logits: Vec::new(),
        })
    }

    /// Bytes that one KV block of sixteen positions takes over all layers of `spec`.
    #[must_use]
    pub fn kv_block_bytes(spec: &ArchSpec) -> usize {
        let layer_bytes = |layer: &LayerSpec| {
            let Mixer::Attention(attention) = &layer.mixer;
            KvCache::block_bytes(attention.kv_heads, attention.head_dim)
        };
        spec.layers.iter().map(layer_bytes).sum()
    }
}

struct Loader<'a> {
    file: &'a GgufFile,
    cpu: Cpu,
}

impl Loader<'_> {
    fn layer(
        &mut self,
        index: usize,
        spec: &LayerSpec,
        norm_epsilon: f32,
    ) -> Result<Layer, LoadError> {
        let NormPlacement::Before = spec.norms;
        let Mixer::Attention(attention) = &spec.mixer;
        let FeedForward::Gated {
            activation: Activation::Silu,
            ..
        } = spec.feed_forward;
        Ok(Layer {
            norm_epsilon,
            attention: self.attention(index, attention)?,
            feed_forward: self.feed_forward(index)?,
        })
    }

    fn attention(&mut self, index: usize, spec: &Attention) -> Result<AttentionBlock, LoadError> {
        let role = |part| TensorRole::Layer(index, part);
        let Mask::Causal = spec.mask;
        let parts = [LayerPart::Query, LayerPart::Key, LayerPart::Value];
        let biases = [
            LayerPart::QueryBias,
            LayerPart::KeyBias,
            LayerPart::ValueBias,
        ];
        let bias = match spec.projections {
            Projections::Split => None,
            Projections::SplitBiased => Some(self.concatenated(&biases.map(role))?),
        };
        Ok(AttentionBlock {
            norm: self.vector(role(LayerPart::AttentionNorm))?,
            query_key_value: Linear::new(self.matrices(&parts.map(role))?, bias),
            output: Linear::new(self.matrices(&[role(LayerPart::AttentionOutput)])?, None),
            query_heads: spec.query_heads,
            pairing: match spec.rope.pairing {
                RopePairing::Halves => Pairing::Halves,
                RopePairing::Neighbours => Pairing::Neighbours,
            },
            score_scale: spec.score_scale,
        })
    }

    fn feed_forward(&mut self, index: usize) -> Result<FeedForwardBlock, LoadError> {
        let role = |part| TensorRole::Layer(index, part);
        let gate_up = self.matrices(&[role(LayerPart::Gate), role(LayerPart::Up)])?;
        Ok(FeedForwardBlock {
            norm: self.vector(role(LayerPart::FeedForwardNorm))?,
            gate_up: Linear::new(gate_up, None),
            down: Linear::new(self.matrices(&[role(LayerPart::Down)])?, None),
        })
    }

    /// Radians that each rotated pair turns by from one position to the next.
    fn frequencies(&mut self, rope: Rope) -> Result<Vec<f64>, LoadError> {
        let pairs = rope.rotated_dims / 2;
        let factors = match rope.stretch {
            RopeStretch::None => vec![1.0; pairs],
            RopeStretch::Linear { factor } => vec![factor; pairs],
            RopeStretch::Stored => self.vector(TensorRole::RopeFactors)?,
        };
        let frequency = |(pair, factor): (usize, f32)| {
            let exponent = -2.0 * pair as f64 / rope.rotated_dims as f64;
            f64::from(rope.base).powf(exponent) / f64::from(factor)
        };
        Ok(factors.into_iter().enumerate().map(frequency).collect())
    }

    fn check_head_dim(&self, head_dim: usize) -> Result<(), LoadError> {
        if head_dim.is_multiple_of(Decoder::BLOCK_TOKENS) {
            return Ok(());
        }
        let (key, found) = ("attention head size".to_owned(), head_dim.to_string());
        Err(LoadFault::Unsupported { key, found }.in_file(self.file.path()))
    }

    fn matrices(&mut self, roles: &[TensorRole]) -> Result<Vec<Matrix>, LoadError> {
        roles.iter().map(|&role| self.matrix(role)).collect()
    }

    fn matrix(&mut self, role: TensorRole) -> Result<Matrix, LoadError> {
        let name = role.name();
        let info = self.file.tensor(&name)?;
        let shape = [info.shape[0], info.shape[1]];
        let TensorType::Blocks(format) = info.kind else {
            return Ok(Matrix::Dense(DenseMatrix::pack(
                &self.floats(&name)?,
                shape,
            )));
        };
        let mapped = self.file.map_tensor(&name)?;
        let packed = PackedMatrix::pack(&mut self.cpu.pool, format, shape, mapped.bytes());
        packed.map(Matrix::Quantized).map_err(|error| {
            let fault = LoadFault::Tensor {
                tensor: name,
                what: error.to_string(),
            };
            fault.in_file(self.file.path())
        })
    }

    fn concatenated(&mut self, roles: &[TensorRole]) -> Result<Vec<f32>, LoadError> {
        let mut joined = Vec::new();
        for &role in roles {
            joined.extend(self.vector(role)?);
        }
        Ok(joined)
    }

    fn vector(&mut self, role: TensorRole) -> Result<Vec<f32>, LoadError> {
        self.floats(&role.name())
    }

    /// The elements of a tensor that is not quantized, in single precision.
    fn floats(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let info = self.file.tensor(name)?;
        let mapped = self.file.map_tensor(name)?;
        let bytes = mapped.bytes();
        let pairs = || bytes.chunks_exact(2).map(|it| [it[0], it[1]]);
        match info.kind {
            TensorType::F32 => {
                let quads = bytes.chunks_exact(4).map(|it| [it[0], it[1], it[2], it[3]]);
                Ok(quads.map(f32::from_le_bytes).collect())
            }
            TensorType::F16 => Ok(pairs()
                .map(|it| half::f16::from_le_bytes(it).to_f32())
                .collect()),
            TensorType::Bf16 => Ok(pairs()
                .map(|it| half::bf16::from_le_bytes(it).to_f32())
                .collect()),
            TensorType::Blocks(_) => {
                let what = format!("is stored as {}, which is not supported here", info.kind);
                let fault = LoadFault::Tensor {
                    tensor: name.to_owned(),
                    what,
                };
                Err(fault.in_file(self.file.path()))
            }
        }
    }
}
