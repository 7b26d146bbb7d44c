//! One layer: attention of each text to itself, then a feed-forward part, a norm after each.

use std::ops::Range;

use sconce_kernels::activation::{Bend, bend};
use sconce_kernels::layer_norm::{LayerNorm, add_layer_norm};
use sconce_kernels::text_attention::{Projected, attend};

use crate::cpu::Cpu;
use crate::linear::Linear;

/// What a norm has learned.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Norm {
    pub(super) fn learned(&self, epsilon: f32) -> LayerNorm<'_> {
        LayerNorm {
            weight: &self.weight,
            bias: &self.bias,
            epsilon,
        }
    }
}

/// A layer's weights.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    pub(super) query_key_value: Linear,
    pub(super) heads: usize,
    pub(super) attention_output: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) bend: Bend,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
    pub(super) norm_epsilon: f32,
}

/// Buffers of a pass, kept between passes.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    projected: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    branch: Vec<f32>,
}

impl Scratch {
    /// The buffer of what is added to the state, of so many elements.
    pub(super) fn branch(&mut self, length: usize) -> &mut [f32] {
        self.branch.resize(length, 0.0);
        &mut self.branch
    }
}

impl EncoderLayer {
    pub(super) fn bytes(&self) -> usize {
        let attention = self.query_key_value.bytes() + self.attention_output.bytes();
        attention + self.up.bytes() + self.down.bytes()
    }

    /// Changes `state`, of shape `[rows, hidden]`; `texts` are the rows of each text.
    pub(super) fn forward(
        &self,
        cpu: &mut Cpu,
        texts: &[Range<usize>],
        (state, scratch): (&mut [f32], &mut Scratch),
    ) {
        let hidden = self.attention_output.width();
        self.query_key_value
            .apply(cpu, state, hidden, &mut scratch.projected);
        scratch.mixed.resize(state.len(), 0.0);
        let head_dim = hidden / self.heads;
        let projected = Projected {
            values: &scratch.projected,
            heads: self.heads,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
        };
        attend(cpu.isa, &mut cpu.pool, projected, texts, &mut scratch.mixed);
        self.attention_output
            .apply(cpu, &scratch.mixed, hidden, &mut scratch.branch);
        let norm = self.attention_norm.learned(self.norm_epsilon);
        add_layer_norm(cpu.isa, &mut cpu.pool, state, &scratch.branch, norm);
        self.up.apply(cpu, state, hidden, &mut scratch.inner);
        bend(cpu.isa, &mut cpu.pool, self.bend, &mut scratch.inner);
        self.down
            .apply(cpu, &scratch.inner, self.up.width(), &mut scratch.branch);
        let norm = self.output_norm.learned(self.norm_epsilon);
        add_layer_norm(cpu.isa, &mut cpu.pool, state, &scratch.branch, norm);
    }
}
