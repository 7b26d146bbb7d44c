//! One layer: attention and a feed-forward part, each added to the residual stream.

use sconce_kernels::paged_attention::{BLOCK_TOKENS, KvCache, Queries, attend};
use sconce_kernels::rms_norm::{rms_norm, rms_norm_in_place};
use sconce_kernels::rope::Pairing;

use super::batch::Batch;
use super::feed_forward::{FeedForwardBlock, FeedForwardScratch};
use super::kv_layout::Place;
use super::rotation::Rotation;
use crate::cpu::Cpu;
use crate::linear::Linear;

/// A layer's weights, compiled from its spec.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) norm_epsilon: f32,
    /// Multiplies both branches.
    pub(crate) residual_scale: f32,
    pub(crate) attention_norms: BranchNorms,
    pub(crate) attention: AttentionBlock,
    pub(crate) feed_forward_norms: BranchNorms,
    pub(crate) feed_forward: FeedForwardBlock,
}

/// The weights of the norms around a branch.
#[derive(Debug)]
pub(crate) struct BranchNorms {
    pub(crate) before: Option<Vec<f32>>,
    pub(crate) after: Option<Vec<f32>>,
}

/// Softmax attention.
#[derive(Debug)]
pub(crate) struct AttentionBlock {
    pub(crate) query_key_value: Linear,
    /// The weights of the norms of queries and keys, over a head or over all of them.
    pub(crate) query_key_norms: Option<[Vec<f32>; 2]>,
    /// Which of the decoder's rotations, and of which dimensions together.
    pub(crate) rotation: Option<(usize, Pairing)>,
    pub(crate) output: Linear,
    pub(crate) query_heads: usize,
    pub(crate) score_scale: f32,
    pub(crate) score_cap: Option<f32>,
    pub(crate) sinks: Option<Vec<f32>>,
    /// Positions that a query sees.
    pub(crate) window: usize,
    /// Where its keys and values lie.
    pub(crate) place: Place,
}

/// Buffers of a step, kept between steps. Each has one width, so that none is cleared again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) normed: Vec<f32>,
    projected: Vec<f32>,
    mixed: Vec<f32>,
    feed_forward: FeedForwardScratch,
    branch: Vec<f32>,
}

/// What all layers of a step share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) batch: &'a Batch<'a>,
    pub(crate) rotations: &'a [Rotation],
}

impl Layer {
    pub(crate) fn weight_bytes(&self) -> usize {
        let attention = self.attention.query_key_value.bytes() + self.attention.output.bytes();
        attention + self.feed_forward.weight_bytes()
    }

    /// Adds both branches to `state`, of shape `[rows, hidden]`.
    pub(crate) fn forward(
        &self,
        cpu: &mut Cpu,
        context: Context<'_>,
        cache: &mut KvCache,
        (state, scratch): (&mut [f32], &mut Scratch),
    ) {
        self.begin_branch(cpu, state, &self.attention_norms, scratch);
        self.attention
            .forward(cpu, context, self.norm_epsilon, (cache, scratch));
        self.end_branch(cpu, state, &self.attention_norms, scratch);
        self.begin_branch(cpu, state, &self.feed_forward_norms, scratch);
        let Scratch {
            normed,
            feed_forward,
            branch,
            ..
        } = scratch;
        self.feed_forward.forward(cpu, normed, feed_forward, branch);
        self.end_branch(cpu, state, &self.feed_forward_norms, scratch);
    }

    /// What the branch reads.
    fn begin_branch(&self, cpu: &Cpu, state: &[f32], norms: &BranchNorms, scratch: &mut Scratch) {
        let normed = &mut scratch.normed;
        normed.resize(state.len(), 0.0);
        match &norms.before {
            Some(weight) => rms_norm(cpu.isa, state, weight, self.norm_epsilon, normed),
            None => normed.copy_from_slice(state),
        }
    }

    /// Adds what the branch gave.
    fn end_branch(&self, cpu: &Cpu, state: &mut [f32], norms: &BranchNorms, scratch: &mut Scratch) {
        if let Some(weight) = &norms.after {
            rms_norm_in_place(cpu.isa, &mut scratch.branch, weight, self.norm_epsilon);
        }
        let scale = self.residual_scale;
        for (state, branch) in state.iter_mut().zip(&scratch.branch) {
            *state += branch * scale;
        }
    }
}

impl AttentionBlock {
    fn forward(
        &self,
        cpu: &mut Cpu,
        context: Context<'_>,
        norm_epsilon: f32,
        (cache, scratch): (&mut KvCache, &mut Scratch),
    ) {
        let hidden = self.output.width();
        self.query_key_value
            .apply(cpu, &scratch.normed, hidden, &mut scratch.projected);
        self.normalise_heads(cpu, cache, norm_epsilon, &mut scratch.projected);
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
            cap: self.score_cap,
            window: self.window,
            sinks: self.sinks.as_deref(),
        };
        let work = (queries, context.batch.attention(self.place.group));
        attend(cpu.isa, &mut cpu.pool, cache, work, &mut scratch.mixed);
        self.output
            .apply(cpu, &scratch.mixed, query_width, &mut scratch.branch);
    }

    /// Normalises queries and keys in place, where they are.
    fn normalise_heads(&self, cpu: &Cpu, cache: &KvCache, epsilon: f32, projected: &mut [f32]) {
        let Some([query_weight, key_weight]) = &self.query_key_norms else {
            return;
        };
        let query_width = self.query_heads * cache.head_dim();
        let kv_width = cache.heads() * cache.head_dim();
        for row in projected.chunks_exact_mut(self.query_key_value.width()) {
            let (queries, rest) = row.split_at_mut(query_width);
            rms_norm_in_place(cpu.isa, queries, query_weight, epsilon);
            rms_norm_in_place(cpu.isa, &mut rest[..kv_width], key_weight, epsilon);
        }
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
        for chunk in context.batch.attention(self.place.group) {
            for index in 0..chunk.rows {
                let row = chunk.first_row + index;
                let projected = &mut projected[row * width..][..width];
                if let Some((rotation, pairing)) = self.rotation {
                    let rotated = &mut projected[..query_width + kv_width];
                    let angles = &context.rotations[rotation].angles;
                    angles.rotate(row, pairing, head_dim, rotated);
                }
                let (key, value) = projected[query_width..].split_at(kv_width);
                let position = chunk.start + index;
                let block = chunk.block(position / BLOCK_TOKENS);
                cache.write(cpu.isa, (block, position % BLOCK_TOKENS), key, value);
            }
        }
    }
}
