//! What is measured: prompts and batches, each at several depths of context.

use std::fmt;

use sconce_model::Decoder;

use crate::BenchError;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Lengths of prompts, in tokens.
    pub prompts: Vec<usize>,
    /// Numbers of sequences that are decoded together.
    pub batches: Vec<usize>,
    /// Positions that each sequence has before.
    pub contexts: Vec<usize>,
    /// Tokens that each sequence decodes in one repetition.
    pub decode_tokens: usize,
    /// Tokens of a prompt that one step takes.
    pub step_tokens_max: usize,
    /// How often each is measured, after one run that is not.
    pub repetitions: usize,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A prompt.
    Prefill {
        /// Its tokens.
        tokens: usize,
        /// The positions before it.
        context: usize,
    },
    /// Sequences that go on together.
    Decode {
        /// How many.
        sequences: usize,
        /// The positions that each has before.
        context: usize,
    },
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefill { tokens, context } => {
                write!(formatter, "a prompt of {tokens} tokens after {context}")
            }
            Self::Decode { sequences, context } => {
                write!(
                    formatter,
                    "decoding {sequences} sequences after {context} tokens"
                )
            }
        }
    }
}

impl Workload {
    /// The positions that each of its sequences has before.
    #[must_use]
    pub fn context(self) -> usize {
        match self {
            Self::Prefill { context, .. } | Self::Decode { context, .. } => context,
        }
    }

    /// The sequences of a step.
    #[must_use]
    pub fn sequences(self) -> usize {
        match self {
            Self::Prefill { .. } => 1,
            Self::Decode { sequences, .. } => sequences,
        }
    }
}

impl Plan {
    /// All that is to be measured, shorter contexts first, so that a cache is only ever filled further.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload> {
        let mut contexts = self.contexts.clone();
        contexts.sort_unstable();
        contexts.dedup();
        let mut workloads = Vec::new();
        for context in contexts {
            let prompts = self.prompts.iter();
            workloads.extend(prompts.map(|&tokens| Workload::Prefill { tokens, context }));
            let batches = self.batches.iter();
            workloads.extend(batches.map(|&sequences| Workload::Decode { sequences, context }));
        }
        workloads
    }

    /// Refuses what measures nothing, and sequences longer than the model's context.
    pub fn check(&self, context: usize) -> Result<(), BenchError> {
        let is_lacking = |list: &[usize]| list.contains(&0);
        if self.prompts.is_empty() && self.batches.is_empty() {
            return Err(BenchError::Nothing("length of a prompt or size of a batch"));
        }
        if is_lacking(&self.prompts) {
            return Err(BenchError::Nothing("length of a prompt"));
        }
        if is_lacking(&self.batches) {
            return Err(BenchError::Nothing("size of a batch"));
        }
        if self.contexts.is_empty() {
            return Err(BenchError::Nothing("context"));
        }
        if [self.decode_tokens, self.step_tokens_max, self.repetitions].contains(&0) {
            return Err(BenchError::Nothing("token, step and repetition"));
        }
        for workload in self.workloads() {
            let positions = workload.context() + self.tokens_each(workload);
            if positions > context {
                return Err(BenchError::BeyondContext {
                    workload: workload.to_string(),
                    positions,
                    context,
                });
            }
        }
        Ok(())
    }

    /// Tokens that each sequence of `workload` computes in one repetition.
    #[must_use]
    pub fn tokens_each(&self, workload: Workload) -> usize {
        match workload {
            Workload::Prefill { tokens, .. } => tokens,
            Workload::Decode { .. } => self.decode_tokens,
        }
    }

    /// KV blocks that each sequence has; the same for all workloads, so that what one wrote serves the
    /// next.
    #[must_use]
    pub fn blocks_each(&self) -> usize {
        let workloads = self.workloads().into_iter();
        let longest = workloads
            .map(|it| it.context() + self.tokens_each(it))
            .max();
        longest.unwrap_or(0).div_ceil(Decoder::BLOCK_TOKENS)
    }

    /// Sequences that there are at most.
    #[must_use]
    pub fn sequences_max(&self) -> usize {
        self.batches.iter().copied().max().unwrap_or(1).max(1)
    }

    /// KV blocks that a decoder needs for all of it, in each of its groups of layers.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks_each() * self.sequences_max()
    }

    /// Tokens that are computed in all, those of warming up and of filling caches with them.
    #[must_use]
    pub fn tokens(&self) -> usize {
        let mut filled = vec![0; self.sequences_max()];
        let mut tokens = 0;
        for workload in self.workloads() {
            for filled in &mut filled[..workload.sequences()] {
                tokens += workload.context().saturating_sub(*filled);
                *filled = workload.context().max(*filled);
            }
            let once = self.tokens_each(workload) * workload.sequences();
            tokens += once * (self.repetitions + 1);
        }
        tokens
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn plan() -> Plan {
        Plan {
            prompts: vec![16, 40],
            batches: vec![1, 3],
            contexts: vec![32, 0],
            decode_tokens: 4,
            step_tokens_max: 24,
            repetitions: 2,
        }
    }

    #[test]
    fn every_size_is_measured_at_every_context_and_shorter_contexts_first() {
        let workloads = plan().workloads();
        assert_eq!(workloads.len(), 8);
        assert!(workloads.iter().map(|it| it.context()).is_sorted());
        assert_eq!(plan().blocks_each(), 5);
        assert_eq!(plan().blocks(), 15);
        // Each thrice: prompts of 56 and 4 × 4 decoded tokens at two contexts; 32 positions of three fill.
        assert_eq!(plan().tokens(), 3 * 2 * (56 + 16) + 3 * 32);
    }

    #[test]
    fn what_measures_nothing_or_does_not_fit_is_refused_by_name() {
        assert!(plan().check(72).is_ok());
        let told = plan().check(71).unwrap_err().to_string();
        assert!(told.contains("a prompt of 40 tokens after 32") && told.contains("72 positions"));
        let refused = |change: fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            assert!(plan.check(1_000).is_err(), "{plan:?}");
        };
        refused(|it| it.batches.push(0));
        refused(|it| it.prompts = vec![0]);
        refused(|it| it.contexts.clear());
        refused(|it| it.repetitions = 0);
        refused(|it| {
            it.prompts.clear();
            it.batches.clear();
        });
    }
}
