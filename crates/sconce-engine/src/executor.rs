//! The port to a device. Owned by the engine, implemented by the model crate.

use sconce_domain::{Draw, Sampling, TokenCount, TokenId, TokenLogprobs};
use sconce_kv::Strand;

use crate::Hold;

/// Runs one planned step on a device.
pub trait Executor {
    /// What can go wrong on the device. The step's sequences then end as failed.
    type Error: std::error::Error;

    /// Computes every chunk of `step` in one ragged batch, writing keys and values into the
    /// chunks' blocks, draws a token for each chunk that asks for one, and tells
    /// the probabilities of tokens for each that asks for those.
    ///
    /// `holds` are what the draws are held to, one for each chunk, in order. Each must be found
    /// before the step ends, best while the device is at work. A chunk whose hold is lost is
    /// computed and not drawn.
    ///
    /// Returns one outcome for each chunk, in order. After a step that failed or panicked the
    /// executor must be able to run others: what that step has written is never read.
    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, Self::Error>;
}

/// What one step computes. The chunks belong to different sequences.
#[derive(Debug)]
pub struct Step<'a> {
    /// One chunk for each sequence in the step.
    pub chunks: Vec<StepChunk<'a>>,
}

/// Consecutive tokens of one sequence, to be computed in this step.
#[derive(Debug)]
pub struct StepChunk<'a> {
    /// The tokens; never empty.
    pub tokens: &'a [TokenId],
    /// The position of the first of them. All earlier positions are in the cache already.
    pub start: TokenCount,
    /// The sequence's blocks, a strand for each group of layers: enough for all positions up to
    /// `start + tokens.len()` that the chunk's tokens see. Position `p` lives in slot
    /// `p % block_size` of the block that has number `p / block_size` within the sequence.
    pub strands: &'a [Strand],
    /// How to draw the next token, if the chunk reaches the last known token.
    pub draw: Option<DrawRequest<'a>>,
    /// Which probabilities to tell, if the prompt is scored and some of it is in the chunk.
    pub score: Option<ScoreRequest<'a>>,
}

/// What a draw depends on besides the logits.
#[derive(Debug, Clone, Copy)]
pub struct DrawRequest<'a> {
    /// The sequence's own rules.
    pub sampling: &'a Sampling,
    /// The tokens the client sent.
    pub prompt: &'a [TokenId],
    /// The tokens drawn so far.
    pub generated: &'a [TokenId],
}

/// Which tokens of a prompt a chunk is to tell the probability of.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRequest<'a> {
    /// The position in the sequence whose logits tell the probability of the first of `targets`;
    /// the next position tells that of the next target. All lie in the chunk.
    pub first: TokenCount,
    /// The tokens that do follow, one for each position; never empty.
    pub targets: &'a [TokenId],
    /// How many of the most likely tokens to report beside each.
    pub alternatives: u8,
}

/// The outcome of one chunk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Computed {
    /// The probability of each target of its `ScoreRequest`, in order.
    pub scores: Vec<TokenLogprobs>,
    /// The next token, if the chunk asked to draw one.
    pub draw: Option<Draw>,
}
