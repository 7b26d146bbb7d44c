//! The engine's port to the device, implemented by the decoder and the sampler.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::thread::{self, Scope};

use sconce_domain::{BlockSize, Draw, TokenCount, TokenId};
use sconce_engine::{Bound, Computed, DrawRequest, Executor, Hold, Step, StepChunk};
use sconce_sampling::{DrawContext, Sampler};

use crate::decoder::{Batch, BatchChunk, BlockTable, Decoder, LogitRows};

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

    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, Infallible> {
        let blocks: Vec<Vec<BlockTable>> = step
            .chunks
            .iter()
            .map(|chunk| chunk.strands.iter().map(BlockTable::from).collect())
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
        thread::scope(|scope| {
            let holds = find_beside(scope, holds);
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
                    Wish::Draw(request) => {
                        computed.draw = draw(sampler, logits, &request, holds[chunk].bound());
                    }
                    Wish::Nothing => {}
                }
            });
        });
        Ok(computed)
    }
}

/// Holds that are found by the time they are looked at.
type FoundHolds<'scope, 'a> =
    LazyCell<&'scope mut [Hold<'a>], Box<dyn FnOnce() -> &'scope mut [Hold<'a>] + 'scope>>;

/// Begins to find `holds` while the device computes. One thread does for that: the masks of a
/// hundred sequences take less than a step as a rule.
fn find_beside<'scope, 'a>(
    scope: &'scope Scope<'scope, '_>,
    holds: &'scope mut [Hold<'a>],
) -> FoundHolds<'scope, 'a> {
    if !holds.iter().any(Hold::is_unknown) {
        return LazyCell::new(Box::new(|| holds));
    }
    let finding = scope.spawn(|| {
        holds.iter_mut().for_each(Hold::find);
        holds
    });
    LazyCell::new(Box::new(|| {
        let found = finding.join();
        found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }))
}

fn draw(
    sampler: &mut Sampler,
    logits: &mut [f32],
    request: &DrawRequest<'_>,
    bound: Bound<'_>,
) -> Option<Draw> {
    let context = DrawContext {
        sampling: request.sampling,
        prompt: request.prompt,
        generated: request.generated,
        mask: bound.mask(),
    };
    (bound != Bound::Lost).then(|| sampler.draw(logits, &context))
}

/// What is wished of a row that has logits.
#[derive(Debug)]
enum Wish<'a> {
    /// The probability of this token, and so many alternatives.
    Score(TokenId, u8),
    /// The next token.
    Draw(DrawRequest<'a>),
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
        Some(request) if row + 1 == chunk.tokens.len() => Wish::Draw(request),
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

fn batch_chunk<'a>(chunk: &StepChunk<'a>, blocks: &'a [BlockTable]) -> BatchChunk<'a> {
    let TokenCount(start) = chunk.start;
    BatchChunk {
        tokens: chunk.tokens,
        start: start as usize,
        blocks,
        logits: logit_rows(chunk),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use sconce_domain::{Sampling, TokenId, TokenMask};
    use sconce_engine::{Constraint, ConstraintFailure, Progress, Strand};

    use super::*;
    use crate::gguf::TensorType;
    use crate::tiny::TinyCheckpoint;
    use crate::{DecoderSettings, GgufFile, Isa, KvType, spec_for};

    const SOON: Duration = Duration::from_secs(5);

    /// Allows one token, once somebody computes.
    #[derive(Debug)]
    struct Patient {
        computing: Receiver<()>,
        found: Sender<()>,
    }

    /// Allows this token, or fails.
    #[derive(Debug)]
    struct Only(Option<TokenId>);

    impl Constraint for Patient {
        fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
            self.computing.recv_timeout(SOON).unwrap();
            self.found.send(()).unwrap();
            Ok([TokenId(1)].into_iter().collect())
        }

        fn accept(&mut self, _: TokenId) -> Result<Progress, ConstraintFailure> {
            Ok(Progress::Open)
        }

        fn rewind(&mut self, _: TokenCount) {}
    }

    impl Constraint for Only {
        fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
            let fact = "it is told to fail".to_owned();
            let token = self.0.ok_or(ConstraintFailure { fact })?;
            Ok([token].into_iter().collect())
        }

        fn accept(&mut self, _: TokenId) -> Result<Progress, ConstraintFailure> {
            Ok(Progress::Open)
        }

        fn rewind(&mut self, _: TokenCount) {}
    }

    fn tiny_decoder() -> Decoder {
        let file = tempfile::NamedTempFile::new().unwrap();
        let checkpoint = TinyCheckpoint::new("llama", TensorType::F32);
        checkpoint.write(file.path()).unwrap();
        let gguf = GgufFile::open(file.path()).unwrap();
        let settings = DecoderSettings {
            threads: 1,
            isa: Isa::Portable,
            kv_blocks: 3,
            kv_type: KvType::F16,
        };
        let spec = spec_for(&gguf).unwrap();
        Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap()
    }

    #[test]
    fn masks_are_found_while_the_device_computes() {
        let (begin, computing) = channel();
        let (found, is_found) = channel();
        let mut patient = Patient { computing, found };
        let mut holds = [Hold::free(), Hold::to(&mut patient)];
        let computed = thread::scope(|scope| {
            let found = find_beside(scope, &mut holds);
            begin.send(()).unwrap();
            let computed = is_found.recv_timeout(SOON);
            assert!(!found[1].is_unknown());
            computed
        });
        assert_eq!(computed, Ok(()));
    }

    #[test]
    fn a_hold_binds_its_own_chunk_and_a_lost_one_draws_nothing() {
        let mut executor = DecoderExecutor::new(tiny_decoder());
        let (sampling, tokens) = (Sampling::greedy(), [TokenId(3), TokenId(5)]);
        let strand = |it| [Strand::new(0, vec![sconce_domain::BlockId(it)])];
        let strands: Vec<_> = (0..3).map(strand).collect();
        let chunk = |which: usize| StepChunk {
            tokens: &tokens,
            start: TokenCount(0),
            strands: &strands[which],
            draw: Some(DrawRequest {
                sampling: &sampling,
                prompt: &tokens,
                generated: &[],
            }),
            score: None,
        };
        let chunks = (0..3).map(chunk).collect();
        let step = Step { chunks };
        let mut free = [Hold::free(), Hold::free(), Hold::free()];
        let Ok(freely) = executor.run(&step, &mut free);
        let likeliest = freely[1].draw.as_ref().expect("a free chunk draws").token;
        let other = TokenId(likeliest.0 ^ 1);
        let (mut only, mut broken) = (Only(Some(other)), Only(None));
        let mut holds = [Hold::to(&mut broken), Hold::free(), Hold::to(&mut only)];
        let Ok(held) = executor.run(&step, &mut holds);
        assert_eq!((&held[0].draw, &held[1]), (&None, &freely[1]));
        assert_eq!(held[2].draw.as_ref().map(|it| it.token), Some(other));
    }
}
