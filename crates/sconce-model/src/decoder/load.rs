//! From a file and its spec to a decoder: each tensor is mapped, packed and let go of in turn.

use sconce_kernels::dense_matmul::{DenseMatrix, Precision};
use sconce_kernels::quantized_matmul::PackedMatrix;
use sconce_kernels::rope::Pairing;

use super::feed_forward::{FeedForwardBlock, GatedBlock};
use super::kv_layout::{KvLayout, Place};
use super::layer::{AttentionBlock, BranchNorms, Layer, Scratch};
use super::rotation::Rotation;
use super::{Decoder, DecoderSettings};
use crate::arch::{
    ArchSpec, Attention, FeedForward, GateUp, Gated, Head, LayerSpec, Mask, Mixer, NormPlacement,
    Positions, Projections, QueryKeyNorm, Rope, RopePairing, RopeStretch, Sinks,
};
use crate::claims::{LayerPart, TensorRole};
use crate::cpu::Cpu;
use crate::gguf::TensorType;
use crate::linear::{Linear, Matrix};
use crate::load_error::{LoadError, LoadFault};
use crate::quantized_weights::widened;
use crate::weights_file::WeightsFile;

impl Decoder {
    /// Loads the weights that `spec` claims from `file`. `progress` is called with the share of
    /// layers that are ready, from 0 to 1.
    pub fn load(
        file: &dyn WeightsFile,
        spec: ArchSpec,
        settings: DecoderSettings,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Self, LoadError> {
        let layout = KvLayout::of(&spec);
        let mut loader = Loader {
            file,
            cpu: Cpu::new(settings.isa, settings.threads),
            positions_max: layout
                .positions_max(settings.kv_blocks)
                .min(spec.context.0 as usize),
            ropes: Vec::new(),
            rotations: Vec::new(),
        };
        let embedding = Linear::new(vec![loader.matrix(TensorRole::Embedding)?], None);
        let head = match spec.head {
            Head::TiedToEmbedding => None,
            Head::Own => Some(Linear::new(vec![loader.matrix(TensorRole::Head)?], None)),
        };
        let mut layers = Vec::with_capacity(spec.layers.len());
        for (index, layer) in spec.layers.iter().enumerate() {
            progress(index as f32 / spec.layers.len() as f32);
            let place = layout.places[index];
            layers.push(loader.layer(index, layer, (place, spec.norm_epsilon))?);
        }
        let caches = layout.caches(&spec, settings.kv_type, settings.kv_blocks);
        progress(1.0);
        let mut head_norm = loader.vector(TensorRole::HeadNorm)?;
        head_norm.iter_mut().for_each(|it| *it *= spec.logit_scale);
        Ok(Self {
            rotations: loader.rotations,
            head_norm,
            spec,
            cpu: loader.cpu,
            embedding,
            head,
            layers,
            caches,
            state: Vec::new(),
            scratch: Scratch::default(),
            logits: Vec::new(),
        })
    }
}

pub(super) struct Loader<'a> {
    pub(super) file: &'a dyn WeightsFile,
    cpu: Cpu,
    /// The most positions that any sequence can have.
    positions_max: usize,
    /// The ropes seen so far, and what became of each.
    ropes: Vec<Rope>,
    rotations: Vec<Rotation>,
}

impl Loader<'_> {
    fn layer(
        &mut self,
        index: usize,
        spec: &LayerSpec,
        (place, norm_epsilon): (Place, f32),
    ) -> Result<Layer, LoadError> {
        let Mixer::Attention(attention) = &spec.mixer;
        self.check_head_dim(attention.head_dim)?;
        Ok(Layer {
            norm_epsilon,
            residual_scale: spec.residual_scale,
            attention_norms: BranchNorms {
                before: self.norm_before(index, spec, LayerPart::AttentionNorm)?,
                after: self.norm_after(index, spec, LayerPart::AttentionPostNorm)?,
            },
            attention: self.attention(index, attention, place)?,
            feed_forward_norms: BranchNorms {
                before: match spec.norms {
                    NormPlacement::BeforeNamedAfter => {
                        Some(self.part(index, LayerPart::AttentionPostNorm)?)
                    }
                    _ => self.norm_before(index, spec, LayerPart::FeedForwardNorm)?,
                },
                after: self.norm_after(index, spec, LayerPart::FeedForwardPostNorm)?,
            },
            feed_forward: self.feed_forward(index, &spec.feed_forward)?,
        })
    }

    fn norm_before(
        &mut self,
        index: usize,
        spec: &LayerSpec,
        part: LayerPart,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        match spec.norms {
            NormPlacement::After => Ok(None),
            NormPlacement::Before | NormPlacement::BeforeNamedAfter | NormPlacement::Both => {
                self.part(index, part).map(Some)
            }
        }
    }

    fn norm_after(
        &mut self,
        index: usize,
        spec: &LayerSpec,
        part: LayerPart,
    ) -> Result<Option<Vec<f32>>, LoadError> {
        match spec.norms {
            NormPlacement::Before | NormPlacement::BeforeNamedAfter => Ok(None),
            NormPlacement::After | NormPlacement::Both => self.part(index, part).map(Some),
        }
    }

    fn part(&mut self, index: usize, part: LayerPart) -> Result<Vec<f32>, LoadError> {
        self.vector(TensorRole::Layer(index, part))
    }

    fn attention(
        &mut self,
        index: usize,
        spec: &Attention,
        place: Place,
    ) -> Result<AttentionBlock, LoadError> {
        let output = TensorRole::Layer(index, LayerPart::AttentionOutput);
        let output_bias = match spec.projections {
            Projections::Split | Projections::SplitBiased | Projections::Fused => None,
            Projections::AllBiased => Some(self.part(index, LayerPart::AttentionOutputBias)?),
        };
        Ok(AttentionBlock {
            query_key_value: self.projections(index, spec.projections)?,
            query_key_norms: match spec.query_key_norm {
                QueryKeyNorm::None => None,
                QueryKeyNorm::EachHead | QueryKeyNorm::AllHeads => Some([
                    self.part(index, LayerPart::QueryNorm)?,
                    self.part(index, LayerPart::KeyNorm)?,
                ]),
            },
            rotation: match spec.positions {
                Positions::Rotary(rope) => Some((self.rotation(rope)?, pairing(rope))),
                Positions::Absent => None,
            },
            output: Linear::new(self.matrices(&[output])?, output_bias),
            query_heads: spec.query_heads,
            score_scale: spec.score_scale,
            score_cap: spec.score_cap,
            sinks: match spec.sinks {
                Sinks::Absent => None,
                Sinks::Learned => Some(self.part(index, LayerPart::AttentionSinks)?),
            },
            window: match spec.mask {
                Mask::Causal => usize::MAX,
                Mask::Window(positions) => positions,
            },
            place,
        })
    }

    fn projections(&mut self, index: usize, spec: Projections) -> Result<Linear, LoadError> {
        let role = |part| TensorRole::Layer(index, part);
        let split = [LayerPart::Query, LayerPart::Key, LayerPart::Value];
        let biases = [
            LayerPart::QueryBias,
            LayerPart::KeyBias,
            LayerPart::ValueBias,
        ];
        let matrices = match spec {
            Projections::Split | Projections::SplitBiased | Projections::AllBiased => {
                self.matrices(&split.map(role))?
            }
            Projections::Fused => self.matrices(&[role(LayerPart::QueryKeyValue)])?,
        };
        let bias = match spec {
            Projections::Split | Projections::Fused => None,
            Projections::SplitBiased | Projections::AllBiased => {
                Some(self.concatenated(&biases.map(role))?)
            }
        };
        Ok(Linear::new(matrices, bias))
    }

    fn feed_forward(
        &mut self,
        index: usize,
        spec: &FeedForward,
    ) -> Result<FeedForwardBlock, LoadError> {
        match spec {
            FeedForward::Gated(gated) => {
                let ups = match gated.gate_up {
                    GateUp::Split => vec![LayerPart::Gate, LayerPart::Up],
                    GateUp::Fused => vec![LayerPart::Up],
                };
                let gated = self.gated(index, gated, (&ups, LayerPart::Down))?;
                Ok(FeedForwardBlock::Gated(Box::new(gated)))
            }
            FeedForward::Experts(experts) => {
                let experts = self.experts(index, experts)?;
                Ok(FeedForwardBlock::Experts(Box::new(experts)))
            }
        }
    }

    /// A gated part: what makes gates and ups, and what comes down.
    pub(super) fn gated(
        &mut self,
        index: usize,
        spec: &Gated,
        (ups, down): (&[LayerPart], LayerPart),
    ) -> Result<GatedBlock, LoadError> {
        let role = |part: &LayerPart| TensorRole::Layer(index, *part);
        let ups: Vec<_> = ups.iter().map(role).collect();
        Ok(GatedBlock {
            gate_up: Linear::new(self.matrices(&ups)?, None),
            activation: spec.activation,
            down: Linear::new(self.matrices(&[role(&down)])?, None),
        })
    }

    /// Which of the decoder's rotations is that of `rope`. Layers with the same rope share one.
    fn rotation(&mut self, rope: Rope) -> Result<usize, LoadError> {
        if let Some(index) = self.ropes.iter().position(|it| *it == rope) {
            return Ok(index);
        }
        let factors = match rope.stretch {
            RopeStretch::None
            | RopeStretch::Linear { .. }
            | RopeStretch::Bands(_)
            | RopeStretch::Yarn(_) => None,
            RopeStretch::Stored => Some(self.vector(TensorRole::RopeFactors)?),
            RopeStretch::Long { original_context } => {
                let is_long = self.positions_max > original_context.0 as usize;
                let (long, short) = (TensorRole::LongRopeFactors, TensorRole::ShortRopeFactors);
                Some(self.vector(if is_long { long } else { short })?)
            }
        };
        self.rotations.push(Rotation::new(rope, factors.as_deref()));
        self.ropes.push(rope);
        Ok(self.ropes.len() - 1)
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

    pub(super) fn matrix(&mut self, role: TensorRole) -> Result<Matrix, LoadError> {
        let name = role.name();
        let info = self.file.tensor(&name)?;
        let mapped = self.file.tensor_bytes(&name)?;
        let shape = [info.shape[0], info.shape[1]];
        self.pack((&name, info.kind), shape, mapped.bytes())
    }

    /// Packs a matrix that is stored in `bytes`: a tensor's, or a part of them.
    pub(super) fn pack(
        &mut self,
        (name, kind): (&str, TensorType),
        shape: [usize; 2],
        bytes: &[u8],
    ) -> Result<Matrix, LoadError> {
        let pool = &mut self.cpu.pool;
        let precision = match kind {
            TensorType::F32 => Precision::Single,
            TensorType::F16 => Precision::Half,
            TensorType::Bf16 => Precision::Brain,
            TensorType::Blocks(format) => {
                let packed = PackedMatrix::pack(pool, format, shape, bytes);
                return packed.map(Matrix::Quantized).map_err(|error| {
                    let (tensor, what) = (name.to_owned(), error.to_string());
                    LoadFault::Tensor { tensor, what }.in_file(self.file.path())
                });
            }
        };
        let packed = DenseMatrix::pack(pool, precision, shape, bytes);
        Ok(Matrix::Dense(packed))
    }

    fn concatenated(&mut self, roles: &[TensorRole]) -> Result<Vec<f32>, LoadError> {
        let mut joined = Vec::new();
        for &role in roles {
            joined.extend(self.vector(role)?);
        }
        Ok(joined)
    }

    pub(super) fn vector(&mut self, role: TensorRole) -> Result<Vec<f32>, LoadError> {
        self.floats(&role.name())
    }

    /// The elements of a tensor that is not quantized, in single precision.
    fn floats(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let info = self.file.tensor(name)?;
        let mapped = self.file.tensor_bytes(name)?;
        match info.kind {
            kind @ (TensorType::F32 | TensorType::F16 | TensorType::Bf16) => {
                Ok(widened(kind, mapped.bytes()))
            }
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

fn pairing(rope: Rope) -> Pairing {
    match rope.pairing {
        RopePairing::Halves => Pairing::Halves,
        RopePairing::Neighbours => Pairing::Neighbours,
    }
}
