//! A device that computes nothing but notices everything: the [`Executor`] for tests.
//!
//! Its next token is a hash of all tokens so far, so that an answer cannot come out right by
//! luck: whoever forgets, repeats or mixes up a token gets another answer. And it keeps a shadow
//! of the KV cache, in which each slot remembers what was written there. Whatever a real device
//! would read in a step is checked against that, so a wrong block table, a lost or overwritten
//! block and a prefix reused in the wrong place are found in the step that does it.

use std::collections::BTreeMap;

use sconce_domain::{
    BlockId, BlockSize, Draw, KvGroups, Reach, Sampling, TokenId, TokenLogprob, TokenLogprobs,
    TokenMask,
};

use crate::{Bound, Computed, DrawRequest, Executor, Hold, ScoreRequest, Step, StepChunk, Strand};

/// The fake device.
#[derive(Debug)]
pub struct FakeExecutor {
    block_size: BlockSize,
    groups: KvGroups,
    vocabulary: u32,
    poison: Option<(TokenId, Effect)>,
    shadow: BTreeMap<(BlockId, u32), Written>,
}

/// What poison does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Failure,
    Panic,
}

/// Why the fake fails: only because it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FakeError {
    /// The step held the token of [`FakeExecutor::failing_on`].
    #[error("token {} makes the fake device fail, and a chunk of this step holds it", .0.0)]
    Poisoned(TokenId),
}

/// What a slot of the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    /// The group of layers that has written it.
    group: usize,
    token: TokenId,
    position: u32,
    /// Stands for all tokens up to this one.
    past: Past,
}

/// A hash of a sequence of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Past(u64);

impl FakeExecutor {
    /// A device with blocks of `block_size` that draws tokens below `vocabulary`.
    ///
    /// # Panics
    /// If the vocabulary is empty.
    #[must_use]
    pub fn new(block_size: BlockSize, vocabulary: u32) -> Self {
        assert!(vocabulary > 0, "there must be a token to draw");
        Self {
            block_size,
            groups: KvGroups::one(),
            vocabulary,
            poison: None,
            shadow: BTreeMap::new(),
        }
    }

    /// Computes with these groups of layers in place of one. A window must be of two positions at
    /// least, as the fake reads the one before a chunk.
    #[must_use]
    pub fn with_groups(mut self, groups: KvGroups) -> Self {
        self.groups = groups;
        self
    }

    /// Fails each step that computes `poison`, having spoilt what the step was to write. A token
    /// outside the vocabulary is only ever computed if a prompt holds it.
    #[must_use]
    pub fn failing_on(mut self, poison: TokenId) -> Self {
        self.poison = Some((poison, Effect::Failure));
        self
    }

    /// As [`FakeExecutor::failing_on`], but panics instead.
    #[must_use]
    pub fn panicking_on(mut self, poison: TokenId) -> Self {
        self.poison = Some((poison, Effect::Panic));
        self
    }

    fn spoil(&mut self, chunk: &StepChunk<'_>) {
        for strand in chunk.strands {
            for position in self.positions(chunk) {
                self.shadow.remove(&self.slot(strand, position));
            }
        }
    }

    fn write(&mut self, chunk: &StepChunk<'_>) {
        assert_eq!(
            chunk.strands.len(),
            self.groups.count(),
            "each group of layers has a strand"
        );
        for (group, strand) in chunk.strands.iter().enumerate() {
            let mut past = match chunk.start.0.checked_sub(1) {
                None => Past::NONE,
                Some(last) => self.read((group, strand), last).past,
            };
            for (position, &token) in self.positions(chunk).zip(chunk.tokens) {
                past = past.then(token);
                let written = Written {
                    group,
                    token,
                    position,
                    past,
                };
                self.shadow.insert(self.slot(strand, position), written);
            }
        }
    }

    /// Reads what attention would, and checks that it is one unbroken sequence of tokens: that
    /// of the request, where it is known.
    fn check_what_is_read(&self, chunk: &StepChunk<'_>) {
        let known: Option<Vec<TokenId>> = chunk.draw.map(|it| [it.prompt, it.generated].concat());
        let end = self.positions(chunk).end;
        if let Some(known) = &known {
            let count = known.len() as u32;
            assert_eq!(count, end, "a draw is from all tokens that are known");
        }
        for (group, reach) in self.groups.reaches().enumerate() {
            let first = match reach {
                Reach::Everything => 0,
                Reach::Window(window) => (chunk.start.0 + 1).saturating_sub(window.0),
            };
            let mut past = None;
            for position in first..end {
                let written = self.read((group, &chunk.strands[group]), position);
                let before = past.unwrap_or_else(|| Self::past_before(known.as_deref(), position));
                let expected = before.map_or(written.past, |it: Past| it.then(written.token));
                assert_eq!(
                    (written.position, written.past),
                    (position, expected),
                    "position {position} of group {group} holds another sequence's past"
                );
                if let Some(known) = &known {
                    let token = known[position as usize];
                    assert_eq!(token, written.token, "position {position} is another token");
                }
                past = Some(Some(written.past));
            }
        }
    }

    /// The past that `position` follows, if it can be told.
    fn past_before(known: Option<&[TokenId]>, position: u32) -> Option<Past> {
        if position == 0 {
            return Some(Past::NONE);
        }
        let before = known?.iter().take(position as usize);
        Some(before.fold(Past::NONE, |past, &token| past.then(token)))
    }

    /// Scores what is asked for, from what lies in the cache.
    fn score(&self, chunk: &StepChunk<'_>) -> Vec<TokenLogprobs> {
        let Some(ScoreRequest {
            first,
            targets,
            alternatives,
        }) = chunk.score
        else {
            return Vec::new();
        };
        let all = self.positions(chunk);
        let last = first.0 + targets.len() as u32 - 1;
        assert!(
            all.contains(&first.0) && all.contains(&last),
            "positions {} to {last} are scored and not in the chunk",
            first.0
        );
        let score = |(position, target): (u32, &TokenId)| {
            let written = self.read((0, &chunk.strands[0]), position);
            score(written.past, *target, alternatives)
        };
        (first.0..).zip(targets).map(score).collect()
    }

    fn positions(&self, chunk: &StepChunk<'_>) -> std::ops::Range<u32> {
        assert!(
            !chunk.tokens.is_empty(),
            "a chunk computes at least one token"
        );
        chunk.start.0..chunk.start.0 + chunk.tokens.len() as u32
    }

    fn slot(&self, strand: &Strand, position: u32) -> (BlockId, u32) {
        let block_tokens = self.block_size.tokens().0;
        let place = (position / block_tokens).checked_sub(strand.first());
        let block = place.and_then(|it| strand.blocks().get(it as usize));
        let block = block.unwrap_or_else(|| panic!("position {position} has no block any more"));
        (*block, position % block_tokens)
    }

    fn read(&self, (group, strand): (usize, &Strand), position: u32) -> Written {
        let slot = self.slot(strand, position);
        let written = self.shadow.get(&slot).copied();
        let written =
            written.unwrap_or_else(|| panic!("slot {slot:?} is read before it is written"));
        assert_eq!(written.group, group, "slot {slot:?} is another group's");
        written
    }
}

impl Executor for FakeExecutor {
    type Error = FakeError;

    /// # Panics
    /// If the step would read anything but what its sequences have written, or if it was told to.
    fn run(&mut self, step: &Step<'_>, holds: &mut [Hold<'_>]) -> Result<Vec<Computed>, FakeError> {
        let mut tokens = step.chunks.iter().flat_map(|it| it.tokens);
        if let Some((poison, effect)) = self.poison
            && tokens.any(|&it| it == poison)
        {
            step.chunks.iter().for_each(|it| self.spoil(it));
            assert_eq!(effect, Effect::Failure, "the fake was told to panic");
            return Err(FakeError::Poisoned(poison));
        }
        // A device writes all chunks before it reads any, so a block that two of them write
        // shows when the first is read.
        step.chunks.iter().for_each(|it| self.write(it));
        step.chunks
            .iter()
            .for_each(|it| self.check_what_is_read(it));
        holds.iter_mut().for_each(Hold::find);
        let compute = |(chunk, hold): (&StepChunk<'_>, &Hold<'_>)| {
            let bound = hold.bound();
            let request = chunk.draw.filter(|_| bound != Bound::Lost);
            Computed {
                scores: self.score(chunk),
                draw: request.map(|it| draw(&it, bound.mask(), self.vocabulary)),
            }
        };
        Ok(step.chunks.iter().zip(&*holds).map(compute).collect())
    }
}

/// What the fake draws after `prompt` and `generated`, whatever else is in the step.
///
/// The seed matters only above temperature zero. A mask takes the draw from the tokens it allows;
/// one that allows nothing of the vocabulary is not kept. What is withheld is not drawn if there is
/// anything else. No other rule of the sampling matters, except that log-probabilities are made up
/// if they are asked for.
#[must_use]
pub fn draw(request: &DrawRequest<'_>, mask: Option<&TokenMask>, vocabulary: u32) -> Draw {
    let all = request.prompt.iter().chain(request.generated);
    let past = all.fold(Past::NONE, |past, &token| past.then(token));
    let seed = if request.sampling.temperature > 0.0 {
        request.sampling.seed
    } else {
        0
    };
    let withheld = request.sampling.withheld.after(request.generated.len());
    let token = pick(mix(past.0 ^ mix(seed)), (mask, withheld), vocabulary);
    Draw {
        token,
        logprobs: logprobs(request.sampling, token, vocabulary),
    }
}

/// A token that mask and minimum allow, else one that the mask allows, else any.
fn pick(number: u64, rules: (Option<&TokenMask>, &[TokenId]), vocabulary: u32) -> TokenId {
    let (mask, withheld) = rules;
    let masked = |it: &TokenId| mask.is_none_or(|mask| mask.allows(*it));
    let all = || (0..vocabulary).map(TokenId);
    let mut allowed: Vec<TokenId> = all()
        .filter(|it| masked(it) && !withheld.contains(it))
        .collect();
    if allowed.is_empty() {
        allowed = all().filter(masked).collect();
    }
    if allowed.is_empty() {
        allowed = all().collect();
    }
    allowed[(number % allowed.len() as u64) as usize]
}

/// The scores that the fake gives the tokens of `prompt` from the second on.
#[must_use]
pub fn scores(prompt: &[TokenId], alternatives: u8) -> Vec<TokenLogprobs> {
    let mut past = Past::NONE;
    prompt
        .windows(2)
        .map(|pair| {
            past = past.then(pair[0]);
            score(past, pair[1], alternatives)
        })
        .collect()
}

/// A made-up probability that depends on everything before the target, and on the target.
fn score(past: Past, target: TokenId, alternatives: u8) -> TokenLogprobs {
    let logprob = |token: TokenId| -((mix(past.0 ^ mix(token.0.into())) % 4096) as f32) / 64.0;
    let entry = |token: TokenId| TokenLogprob {
        token,
        logprob: logprob(token),
    };
    let mut top: Vec<TokenLogprob> = (0..u32::from(alternatives))
        .map(|it| entry(TokenId(it)))
        .collect();
    top.sort_by(|one, other| other.logprob.total_cmp(&one.logprob));
    TokenLogprobs {
        chosen: entry(target),
        top,
    }
}

/// Halves the probability from rank to rank, beginning with the token drawn.
fn logprobs(sampling: &Sampling, chosen: TokenId, vocabulary: u32) -> Option<TokenLogprobs> {
    let count = u32::from(sampling.logprobs?).min(vocabulary);
    let ranked = |rank: u32| TokenLogprob {
        token: TokenId(((u64::from(chosen.0) + u64::from(rank)) % u64::from(vocabulary)) as u32),
        logprob: -std::f32::consts::LN_2 * (rank + 1) as f32,
    };
    Some(TokenLogprobs {
        chosen: ranked(0),
        top: (0..count).map(ranked).collect(),
    })
}

impl Past {
    const NONE: Self = Self(0);

    fn then(self, token: TokenId) -> Self {
        Self(mix(self.0 ^ mix(u64::from(token.0))))
    }
}

/// The output function of splitmix64: every bit of the result depends on every bit of `value`.
/// Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
