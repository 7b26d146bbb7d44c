//! One layer: attention and a gated feed-forward part, each added to the residual stream.

use sconce_kernels::gated_activation::silu_gate;
use sconce_kernels::paged_attention::{BLOCK_TOKENS, KvCache, Queries, attend};
use sconce_kernels::rms_norm::rms_norm;
use sconce_kernels::rope::{Angles, Pairing};

use super::batch::Batch;
use crate::cpu::Cpu;
use crate::linear::Linear;

/// A layer's weights, compiled from its spec.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) norm_epsilon: f32,
    pub(crate) attention: AttentionBlock,
    pub(crate) feed_forward: FeedForwardBlock,
}

/// Softmax attention with rotary positions.
#[derive(Debug)]
pub(crate) struct AttentionBlock {
    pub(crate) norm: Vec<f32>,
    pub(crate) query_key_value: Linear,
    pub(crate) output: Linear,
    pub(crate) query_heads: usize,
    pub(crate) pairing: Pairing,
    pub(crate) score_scale: f32,
}

/// `down(silu(gate(x)) * up(x))`.
#[derive(Debug)]
pub(crate) struct FeedForwardBlock {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate_up: Linear,
    pub(crate) down: Linear,
}

/// Buffers of a step, kept between steps. Each has one width, so that none is cleared again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) normed: Vec<f32>,
    projected: Vec<f32>,
    mixed: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    branch: Vec<f32>,
}

/// What all layers of a step share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) batch: &'a Batch<'a>,
    pub(crate) angles: &'a Angles,
}

impl Layer {
    pub(crate) fn weight_bytes(&self) -> usize {
        let attention = self.attention.query_key_value.bytes() + self.attention.output.bytes();
        attention + self.feed_forward.gate_up.bytes() + self.feed_forward.down.bytes()
    }

    /// Adds both branches to `state`, of shape `[rows, hidden]`.
    pub(crate) fn forward(
        &self,
        cpu: &mut Cpu,
        context: Context<'_>,
        cache: &mut KvCache,
        (state, scratch): (&mut [f32], &mut Scratch),
    ) {
        self.normalise(cpu, state, &self.attention.norm, scratch);
        self.attention.forward(cpu, context, cache, scratch);
        add(state, &scratch.branch);
        self.normalise(cpu, state, &self.feed_forward.norm, scratch);
        self.feed_forward.forward(cpu, scratch);
        add(state, &scratch.branch);
    }

    fn normalise(&self, cpu: &Cpu, state: &[f32], weight: &[f32], scratch: &mut Scratch) {
        scratch.normed.resize(state.len(), 0.0);
        rms_norm(
            cpu.isa,
            state,
            weight,
            self.norm_epsilon,
            &mut scratch.normed,
        );
    }
}

impl AttentionBlock {
    fn forward(
        &self,
        cpu: &mut Cpu,
        context: Context<'_>,
        cache: &mut KvCache,
        scratch: &mut Scratch,
    ) {
        let hidden = self.norm.len();
        self.query_key_value
            .apply(cpu, &scratch.normed, hidden, &mut scratch.projected);
        self.rotate_and_store(cpu, context, cache, &mut scratch.projected);
        let query_width = self.query_heads * cache.head_dim();
        scratch
            .mixed
            .resize(context.batch.rows() * query_width, 0.0);
        let queries = Queries {
            values: &scratch.projected,
            stride: self.query_key_value.width(),
            heads: self.query_heads,
            scale: self.score_scale,
        };
        let work = (queries, context.batch.attention());
        attend(cpu.isa, &mut cpu.pool, cache, work, &mut scratch.mixed);
        self.output
            .apply(cpu, &scratch.mixed, query_width, &mut scratch.branch);
    }

    /// Rotates queries and keys in place and writes keys and values to the cache.
    fn rotate_and_store(
        &self,
        cpu: &Cpu,
        context: Context<'_>,
        cache: &mut KvCache,
        projected: &mut [f32],
    ) {
        let head_dim = cache.head_dim();
        let width = self.query_key_value.width();
        let (query_width, kv_width) = (self.query_heads * head_dim, cache.heads() * head_dim);
        for chunk in context.batch.attention() {
            for index in 0..chunk.rows {
                let row = chunk.first_row + index;
                let projected = &mut projected[row * width..][..width];
                let rotated = &mut projected[..query_width + kv_width];
                context.angles.rotate(row, self.pairing, head_dim, rotated);
                let (key, value) = projected[query_width..].split_at(kv_width);
                let position = chunk.start + index;
                let block = chunk.blocks[position / BLOCK_TOKENS];
                cache.write(cpu.isa, (block, position % BLOCK_TOKENS), key, value);
            }
        }
    }
}

impl FeedForwardBlock {
    fn forward(&self, cpu: &mut Cpu, scratch: &mut Scratch) {
        let hidden = self.norm.len();
        self.gate_up
            .apply(cpu, &scratch.normed, hidden, &mut scratch.gate_up);
        let inner = self.gate_up.width() / 2;
        scratch.gated.resize(scratch.gate_up.len() / 2, 0.0);
        silu_gate(
            cpu.isa,
            &mut cpu.pool,
            &scratch.gate_up,
            inner,
            &mut scratch.gated,
        );
        self.down
            .apply(cpu, &scratch.gated, inner, &mut scratch.branch);
    }
}

fn add(state: &mut [f32], branch: &[f32]) {
    state
        .iter_mut()
        .zip(branch)
        .for_each(|(state, branch)| *state += branch);
}
