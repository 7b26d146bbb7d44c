//! The engine's port to the device, implemented by the decoder and the sampler.

use std::convert::Infallible;

use sconce_domain::{BlockSize, TokenCount, TokenId};
use sconce_engine::{Computed, Executor, Step, StepChunk};
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

    fn run(&mut self, step: &Step<'_>) -> Result<Vec<Computed>, Infallible> {
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
        let batch = Batch::new(&chunks);
        let mut wishes = step.chunks.iter().enumerate().flat_map(wishes);
        let mut computed = vec![Computed::default(); step.chunks.len()];
        let sampler = &mut self.sampler;
        self.decoder.forward_each(&batch, |logits| {
            let (chunk, wish) = wishes
                .next()
                .expect("a row has logits if they are wished for");
            let computed = &mut computed[chunk];
            match wish {
                Wish::Score(target, alternatives) => {
                    let score = sampler.score(logits, target, alternatives);
                    computed.scores.push(score);
                }
                Wish::Draw(context) => computed.draw = Some(sampler.draw(logits, &context)),
                Wish::Nothing => {}
            }
        });
        Ok(computed)
    }
}

/// What is wished of a row that has logits.
#[derive(Debug)]
enum Wish<'a> {
    /// The probability of this token, and so many alternatives.
    Score(TokenId, u8),
    /// The next token.
    Draw(DrawContext<'a>),
    /// Nothing: it lies between rows of which something is wished.
    Nothing,
}

/// The wishes of the chunk number `index`, one for each of its rows that [`logit_rows`] names.
fn wishes<'a>(
    (index, chunk): (usize, &'a StepChunk<'_>),
) -> impl Iterator<Item = (usize, Wish<'a>)> {
    let rows = match logit_rows(chunk) {
        LogitRows::None => 0..0,
        LogitRows::Last => chunk.tokens.len() - 1..chunk.tokens.len(),
        LogitRows::All => 0..chunk.tokens.len(),
    };
    rows.map(move |row| (index, wish(chunk, row)))
}

fn wish<'a>(chunk: &'a StepChunk<'_>, row: usize) -> Wish<'a> {
    let position = chunk.start.0 as usize + row;
    if let Some(score) = &chunk.score
        && let Some(place) = position.checked_sub(score.first.0 as usize)
        && let Some(target) = score.targets.get(place)
    {
        return Wish::Score(*target, score.alternatives);
    }
    match chunk.draw {
        Some(request) if row + 1 == chunk.tokens.len() => Wish::Draw(DrawContext {
            sampling: request.sampling,
            prompt: request.prompt,
            generated: request.generated,
            mask: request.mask,
        }),
        _ => Wish::Nothing,
    }
}

fn logit_rows(chunk: &StepChunk<'_>) -> LogitRows {
    if chunk.score.is_some() {
        LogitRows::All
    } else if chunk.draw.is_some() {
        LogitRows::Last
    } else {
        LogitRows::None
    }
}

fn batch_chunk<'a>(chunk: &StepChunk<'a>, blocks: &'a [u32]) -> BatchChunk<'a> {
    let TokenCount(start) = chunk.start;
    BatchChunk {
        tokens: chunk.tokens,
        start: start as usize,
        blocks,
        logits: logit_rows(chunk),
    }
}
