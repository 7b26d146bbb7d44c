//! The draw itself: the steps in their order, over scratch that is kept between draws.

use sconce_domain::{Draw, Sampling, TokenId, TokenLogprobs, TokenMask};

use crate::generator::random_unit;
use crate::logprobs::Report;
use crate::masking::Masked;
use crate::overlay::Overlay;
use crate::penalties::Occurrences;
use crate::rank::{Candidate, largest};
use crate::truncation::Support;

/// What a draw depends on besides the logits.
#[derive(Debug, Clone, Copy)]
pub struct DrawContext<'a> {
    /// The sequence's own rules.
    pub sampling: &'a Sampling,
    /// The tokens the client sent.
    pub prompt: &'a [TokenId],
    /// The tokens drawn so far. Their number is the position that the random number belongs to.
    pub generated: &'a [TokenId],
    /// The only tokens that may be drawn, if not all may.
    pub mask: Option<&'a TokenMask>,
}

/// Draws tokens. Holds nothing but scratch: what it draws depends on its arguments alone, so one
/// sampler serves any number of sequences, in any order.
///
/// After the first draw for a vocabulary nothing is allocated, but for the report if one is asked
/// for.
#[derive(Debug, Default)]
pub struct Sampler {
    bias: Overlay,
    occurrences: Occurrences,
    masked: Masked,
    withheld: Overlay,
    support: Support,
    front: Vec<Candidate>,
}

impl Sampler {
    /// A sampler without scratch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws the next token of a sequence.
    ///
    /// Shape: `logits` is `[vocabulary]`. What mask, bias and penalties change in it is taken back,
    /// so it is afterwards what it was before.
    /// A temperature that is not above zero, NaN included, counts as zero.
    #[must_use]
    pub fn draw(&mut self, logits: &mut [f32], context: &DrawContext<'_>) -> Draw {
        let DrawContext {
            sampling,
            prompt,
            generated,
            mask,
        } = *context;
        let report = sampling
            .logprobs
            .map(|count| Report::read(logits, count, &mut self.front));
        self.masked.apply(logits, mask);
        self.bias.add(logits, &sampling.bias);
        self.occurrences
            .count(&sampling.penalties, prompt, generated, logits.len());
        self.occurrences.penalise(logits, &sampling.penalties);
        let token = self.choose_allowed(logits, context);
        self.occurrences.restore(logits);
        self.bias.restore(logits);
        self.masked.restore(logits);
        let token = TokenId(token);
        let logprobs = report.map(|it| it.of(token, logits));
        Draw { token, logprobs }
    }

    /// Tells how likely `target` is as the next token, and the `alternatives` most likely ones.
    ///
    /// Shape: `logits` is `[vocabulary]`. A token outside of it has the probability zero.
    #[must_use]
    pub fn score(&mut self, logits: &[f32], target: TokenId, alternatives: u8) -> TokenLogprobs {
        Report::read(logits, alternatives, &mut self.front).of(target, logits)
    }

    /// Chooses among the tokens that are not withheld, or among those that are if there are no
    /// others; token 0 if there are none at all.
    fn choose_allowed(&mut self, logits: &mut [f32], context: &DrawContext<'_>) -> u32 {
        let withheld = context.sampling.withheld.after(context.generated.len());
        self.withheld.withhold(logits, withheld);
        let allowed = self.choose(logits, context);
        self.withheld.restore(logits);
        if allowed.is_some() || withheld.is_empty() {
            return allowed.unwrap_or(0);
        }
        self.choose(logits, context).unwrap_or(0)
    }

    /// `None` if no token is possible.
    fn choose(&mut self, logits: &[f32], context: &DrawContext<'_>) -> Option<u32> {
        let sampling = context.sampling;
        // The comparison is false for NaN.
        if sampling.temperature > 0.0 {
            self.support
                .fill(logits, sampling.temperature, &sampling.truncation);
            let position = context.generated.len() as u64;
            self.support.pick(random_unit(sampling.seed, position))
        } else {
            let token = largest(logits);
            let logit = logits.get(token as usize)?;
            (*logit > f32::NEG_INFINITY).then_some(token)
        }
    }
}
