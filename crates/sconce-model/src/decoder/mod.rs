//! The one decoder: an `ArchSpec` compiled to blocks, run over a ragged batch of all sequences.
//!
//! A step is one pass over all its tokens, whatever sequences they belong to: there is no padding
//! and no loop over sequences outside attention.

mod batch;
mod feed_forward;
mod footprint;
mod kv_layout;
mod layer;
mod load;
mod load_experts;
mod rotation;

use sconce_kernels::Isa;
use sconce_kernels::paged_attention::{BLOCK_TOKENS, KvCache, KvType};
use sconce_kernels::rms_norm::rms_norm;
use sconce_kernels::soft_cap::soft_cap;

pub use batch::{Batch, BatchChunk, BlockTable, LogitRows};
pub use footprint::StepWork;

use crate::arch::ArchSpec;
use crate::cpu::Cpu;
use crate::linear::Linear;
use layer::{Layer, Scratch};
use rotation::Rotation;

/// What a decoder runs on and with how much memory.
#[derive(Debug, Clone, Copy)]
pub struct DecoderSettings {
    /// Threads that share the work, the caller's included.
    pub threads: usize,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// Blocks of the KV cache, each of sixteen positions of one group of layers.
    pub kv_blocks: usize,
    /// How keys and values are stored in them.
    pub kv_type: KvType,
}

/// A loaded model with its KV cache.
#[derive(Debug)]
pub struct Decoder {
    spec: ArchSpec,
    cpu: Cpu,
    embedding: Linear,
    /// Absent when the embedding serves as head.
    head: Option<Linear>,
    /// With the scale of logits in it.
    head_norm: Vec<f32>,
    layers: Vec<Layer>,
    /// For each layer of a group one: all groups share them, each in blocks of its own.
    caches: Vec<KvCache>,
    /// The ways in which layers rotate, each once.
    rotations: Vec<Rotation>,
    state: Vec<f32>,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// What a decoder's parts take in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights as the kernels hold them.
    pub weight_bytes: usize,
    /// The KV cache when every block has been used once.
    pub kv_bytes: usize,
}

impl Decoder {
    /// Positions in a block of the KV cache.
    pub const BLOCK_TOKENS: usize = BLOCK_TOKENS;

    /// Rows whose logits [`Decoder::forward_each`] holds at a time.
    pub const LOGIT_ROWS_MAX: usize = 64;

    /// What the decoder is.
    #[must_use]
    pub fn spec(&self) -> &ArchSpec {
        &self.spec
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.cpu.isa
    }

    /// Matrix products computed since loading: a step adds the same number whatever its batch,
    /// and one more for each [`Decoder::LOGIT_ROWS_MAX`] rows of logits beyond the first.
    #[must_use]
    pub fn matmul_calls(&self) -> u64 {
        self.cpu.matmul_calls
    }

    /// What weights and cache take.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        let linear = [Some(&self.embedding), self.head.as_ref()];
        let ends: usize = linear.into_iter().flatten().map(Linear::bytes).sum();
        let layers: usize = self.layers.iter().map(Layer::weight_bytes).sum();
        let kv_bytes = self.caches.iter().map(KvCache::bytes).sum();
        MemoryUse {
            weight_bytes: ends + layers,
            kv_bytes,
        }
    }

    /// Computes one ragged batch and returns the logits of the rows it asks for.
    ///
    /// Keys and values of all rows are written to the cache. The result is `[logit rows,
    /// vocabulary]`, row-major, in the batch's order.
    ///
    /// # Panics
    /// If a token is not in the vocabulary or a block not in the cache.
    pub fn forward(&mut self, batch: &Batch<'_>) -> &mut [f32] {
        self.advance(batch);
        let rows: Vec<usize> = batch.logit_rows().collect();
        self.project(&rows)
    }

    /// As [`Decoder::forward`], but hands the logits of each row to `take` in turn. So a text can be
    /// scored whose logits no memory would hold: a few are computed at a time.
    ///
    /// # Panics
    /// As [`Decoder::forward`].
    pub fn forward_each(&mut self, batch: &Batch<'_>, mut take: impl FnMut(&mut [f32])) {
        self.advance(batch);
        let vocabulary = self.spec.vocabulary;
        let rows: Vec<usize> = batch.logit_rows().collect();
        for part in rows.chunks(Self::LOGIT_ROWS_MAX) {
            self.project(part)
                .chunks_exact_mut(vocabulary)
                .for_each(&mut take);
        }
    }

    /// Computes the state of all rows behind the last layer.
    fn advance(&mut self, batch: &Batch<'_>) {
        let hidden = self.spec.hidden;
        self.state.resize(batch.rows() * hidden, 0.0);
        for (row, token) in self.state.chunks_exact_mut(hidden).zip(batch.tokens()) {
            self.embedding.embed(token.0 as usize, row);
            row.iter_mut()
                .for_each(|it| *it *= self.spec.embedding_scale);
        }
        for rotation in &mut self.rotations {
            rotation.turn_to(batch);
        }
        for layer in &self.layers {
            let cache = &mut self.caches[layer.attention.place.cache];
            let context = layer::Context {
                batch,
                rotations: &self.rotations,
            };
            layer.forward(
                &mut self.cpu,
                context,
                cache,
                (&mut self.state, &mut self.scratch),
            );
        }
    }

    /// The logits of some rows.
    fn project(&mut self, rows: &[usize]) -> &mut [f32] {
        let hidden = self.spec.hidden;
        self.scratch.normed.resize(rows.len() * hidden, 0.0);
        for (out, row) in self.scratch.normed.chunks_exact_mut(hidden).zip(rows) {
            let state = &self.state[row * hidden..][..hidden];
            rms_norm(
                self.cpu.isa,
                state,
                &self.head_norm,
                self.spec.norm_epsilon,
                out,
            );
        }
        if self.scratch.normed.is_empty() {
            self.logits.clear();
        } else {
            let head = self.head.as_ref().unwrap_or(&self.embedding);
            head.apply(
                &mut self.cpu,
                &self.scratch.normed,
                hidden,
                &mut self.logits,
            );
        }
        if let Some(cap) = self.spec.logit_cap {
            soft_cap(self.cpu.isa, &mut self.cpu.pool, cap, &mut self.logits);
        }
        &mut self.logits
    }
}
