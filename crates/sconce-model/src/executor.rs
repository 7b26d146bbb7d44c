//! The engine's port to the device, implemented by the decoder and the sampler.

use std::convert::Infallible;

use sconce_domain::{BlockSize, TokenCount};
use sconce_engine::{DrawRequest, Executor, Sampled, Step, StepChunk};
use sconce_sampling::{DrawContext, Sampler};

use crate::decoder::{Batch, BatchChunk, Decoder, LogitRows};

/// Runs the engine's steps on a decoder.
#[derive(Debug)]
pub struct DecoderExecutor {
    decoder: Decoder,
    sampler: Sampler,
}

impl DecoderExecutor {
    /// An executor for `decoder`.
    #[must_use]
    pub fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            sampler: Sampler::default(),
        }
    }

    /// Positions in a block of its KV cache.
    #[must_use]
    pub fn block_size() -> BlockSize {
        BlockSize::new(Decoder::BLOCK_TOKENS as u32).expect("sixteen is a power of two")
    }

    /// The decoder.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl Executor for DecoderExecutor {
    type Error = Infallible;

    fn run(&mut self, step: &Step<'_>) -> Result<Vec<Sampled>, Infallible> {
        let blocks: Vec<Vec<u32>> = step
            .chunks
            .iter()
            .map(|chunk| chunk.blocks.iter().map(|it| it.0).collect())
            .collect();
        let chunks: Vec<BatchChunk<'_>> = step
            .chunks
            .iter()
            .zip(&blocks)
            .map(|(chunk, blocks)| batch_chunk(chunk, blocks))
            .collect();
        let vocabulary = self.decoder.spec().vocabulary;
        let logits = self.decoder.forward(&Batch::new(&chunks));
        let mut rows = logits.chunks_exact_mut(vocabulary);
        let draw = |chunk: &StepChunk<'_>| {
            let Some(request) = &chunk.draw else {
                return Sampled::Nothing;
            };
            let logits = rows.next().expect("a chunk that draws asked for logits");
            let DrawRequest {
                sampling,
                prompt,
                generated,
                mask,
            } = *request;
            let context = DrawContext {
                sampling,
                prompt,
                generated,
                mask,
            };
            Sampled::Token(self.sampler.draw(logits, &context))
        };
        Ok(step.chunks.iter().map(draw).collect())
    }
}

fn batch_chunk<'a>(chunk: &StepChunk<'a>, blocks: &'a [u32]) -> BatchChunk<'a> {
    let TokenCount(start) = chunk.start;
    let logits = if chunk.draw.is_some() {
        LogitRows::Last
    } else {
        LogitRows::None
    };
    BatchChunk {
        tokens: chunk.tokens,
        start: start as usize,
        blocks,
        logits,
    }
}
