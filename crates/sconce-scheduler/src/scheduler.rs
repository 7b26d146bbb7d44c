//! Holds the sequences, applies what befalls them and books what became of a step.

use std::collections::{BTreeMap, BTreeSet};

use sconce_domain::{SequenceId, TokenCount};
use sconce_kv::{BlockPool, Strand};

use crate::queue::FairQueue;
use crate::{Arrival, Chunk, Outcome, SchedulerError, Sequence, StepLimits, StepPlan};

/// Decides which tokens run next. Owns the blocks and every known token.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) limits: StepLimits,
    pub(crate) pool: BlockPool,
    pub(crate) sequences: BTreeMap<SequenceId, Sequence>,
    pub(crate) queue: FairQueue,
    /// The most urgent first, and of those the oldest: the last one gives way first.
    pub(crate) running: Vec<SequenceId>,
    pub(crate) counters: Counters,
}

/// What has happened since the start. Only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Sequences admitted.
    pub admitted: u64,
    /// Times a sequence gave its blocks back to be computed anew.
    pub preemptions: u64,
    /// Those of them that were made for a sequence with a better claim.
    pub displacements: u64,
    /// Prompt tokens looked up in the cache, once for each sequence whose prompt is not scored.
    pub prefix_queried_tokens: u64,
    /// Those of them that were found.
    pub prefix_hit_tokens: u64,
}

impl Scheduler {
    /// A scheduler without sequences.
    ///
    /// # Panics
    /// If a limit is zero, as nothing could ever run.
    #[must_use]
    pub fn new(limits: StepLimits, pool: BlockPool) -> Self {
        assert!(
            limits.step_tokens_max.0 > 0,
            "a step of no tokens gets nowhere"
        );
        assert!(limits.running_max > 0, "somebody must be able to run");
        Self {
            limits,
            pool,
            sequences: BTreeMap::new(),
            queue: FairQueue::default(),
            running: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Puts a sequence at the end of its tenant's queue.
    ///
    /// # Errors
    /// If it could never end, or is malformed: see [`SchedulerError`]. Nothing has changed then.
    pub fn admit(&mut self, arrival: Arrival) -> Result<(), SchedulerError> {
        let sequence = arrival.id;
        if arrival.prompt.is_empty() {
            return Err(SchedulerError::EmptyPrompt { sequence });
        }
        if self.sequences.contains_key(&sequence) {
            return Err(SchedulerError::DuplicateId { sequence });
        }
        self.check_that_it_fits(&arrival)?;
        let weight = arrival.weight;
        let admitted = Sequence::new(arrival, self.counters.admitted);
        self.queue.join(&admitted, weight);
        self.sequences.insert(sequence, admitted);
        self.counters.admitted += 1;
        Ok(())
    }

    /// Forgets a sequence and frees its blocks. Unknown ones are left alone.
    pub fn cancel(&mut self, id: SequenceId) {
        if let Some(sequence) = self.sequences.remove(&id) {
            self.queue.leave(&sequence);
            self.running.retain(|&it| it != id);
            self.pool.release(id);
        }
    }

    /// Forgets a sequence that has not started yet, and says whether it did. Whoever has started
    /// stays, though it may wait again after a preemption.
    pub fn expire(&mut self, id: SequenceId) -> bool {
        let sequence = self.sequences.get(&id);
        let waits = sequence.is_some_and(|it| !it.has_started);
        if waits {
            self.cancel(id);
        }
        waits
    }

    /// Forgets the tokens of a sequence from `position` on, so that it goes on as one that never
    /// had them: the next draw follows its first `position` tokens. Only generated tokens can be
    /// forgotten. Going back to where it stands changes nothing.
    ///
    /// A running sequence keeps its place in the batch, unless a block that it shares is cut in
    /// two and no other is free, or a window has passed what it would see from there: then it gives
    /// way, as after a preemption.
    ///
    /// # Errors
    /// If the sequence is not here, `position` lies in its prompt, or behind its last token.
    /// Nothing has changed then.
    pub fn rewind(&mut self, id: SequenceId, position: TokenCount) -> Result<(), SchedulerError> {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return Err(SchedulerError::NotHere { sequence: id });
        };
        let (prompt, known) = (TokenCount(sequence.prompt().len() as u32), sequence.known());
        if position < prompt {
            return Err(SchedulerError::RewindIntoPrompt {
                sequence: id,
                position,
                prompt,
            });
        }
        if position > known {
            return Err(SchedulerError::RewindBeyondEnd {
                sequence: id,
                position,
                known,
            });
        }
        sequence.tokens.truncate(position.0 as usize);
        let runs = self.running.contains(&id);
        if runs && position < known {
            self.cut_back(id);
        }
        Ok(())
    }

    /// Books a step that was computed.
    ///
    /// # Panics
    /// If there is not one outcome for each chunk, or a sequence was cancelled meanwhile.
    pub fn commit(&mut self, plan: &StepPlan, outcomes: &[Outcome]) {
        assert_eq!(
            plan.chunks.len(),
            outcomes.len(),
            "each chunk has one outcome"
        );
        for (chunk, outcome) in plan.chunks.iter().zip(outcomes) {
            let sequence = self.sequences.get_mut(&chunk.sequence).expect(IS_ADMITTED);
            sequence.computed = chunk.end();
            sequence.scored = sequence.scored.max(chunk.end().0 as usize);
            self.pool.seal(
                chunk.sequence,
                &sequence.tokens[..sequence.computed.0 as usize],
            );
            match outcome {
                Outcome::Computed => {}
                Outcome::Next(token) => sequence.tokens.push(*token),
                Outcome::Over => self.cancel(chunk.sequence),
            }
        }
    }

    /// Forgets the sequences of a step that failed: nobody knows what their blocks hold now.
    /// What other sequences share with them was written in earlier steps and stays good.
    pub fn abandon(&mut self, plan: &StepPlan) {
        for chunk in &plan.chunks {
            self.cancel(chunk.sequence);
        }
    }

    /// A sequence that is waiting or running.
    #[must_use]
    pub fn sequence(&self, id: SequenceId) -> Option<&Sequence> {
        self.sequences.get(&id)
    }

    /// The blocks of a planned chunk's sequence, for each group of layers: at least those that hold
    /// what the chunk looks at, up to its end.
    ///
    /// # Panics
    /// If the chunk is not of the latest plan.
    #[must_use]
    pub fn strands(&self, chunk: &Chunk) -> &[Strand] {
        self.pool.strands(chunk.sequence)
    }

    /// Tokens of the longest prompt and answer that can be admitted.
    #[must_use]
    pub fn sequence_tokens_max(&self) -> TokenCount {
        TokenCount(self.pool.tokens_max().0.saturating_add(1))
    }

    /// The blocks, to be counted.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sequences that hold blocks.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Sequences that wait for a place.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is nothing to compute.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Checks between steps that nothing is lost and that the order of arrival is kept.
    ///
    /// # Panics
    /// If something is not as it must be.
    pub fn check_invariants(&self) {
        self.pool.check_invariants();
        assert!(
            self.running.len() <= self.limits.running_max as usize,
            "too many run"
        );
        let owners: BTreeSet<SequenceId> = self.pool.sequences().collect();
        assert_eq!(
            owners,
            self.running.iter().copied().collect(),
            "those who run hold blocks"
        );
        let running = self.running.iter().copied();
        let all: Vec<&Sequence> = running
            .chain(self.queue.iter())
            .map(|id| &self.sequences[&id])
            .collect();
        assert_eq!(all.len(), self.sequences.len(), "a sequence is lost");
        let (running, _) = all.split_at(self.running.len());
        assert!(
            running.is_sorted_by_key(|it| it.rank()),
            "the order of those who run is lost"
        );
        self.queue.check_invariants(running);
        for sequence in all {
            let id = sequence.id;
            assert!(
                sequence.computed < sequence.known(),
                "{id} has nothing left to compute"
            );
            if !owners.contains(&id) {
                assert_eq!(
                    sequence.computed.0, 0,
                    "{id} counts on blocks it does not hold"
                );
                continue;
            }
            let lacks_the_next_block = u32::from(sequence.is_one_behind());
            let certain = TokenCount(sequence.known().0 - lacks_the_next_block);
            assert!(
                self.pool.holds(id, sequence.computed, certain),
                "{id} lacks blocks"
            );
        }
    }

    fn check_that_it_fits(&self, arrival: &Arrival) -> Result<(), SchedulerError> {
        let tokens = arrival.prompt.len() as u64 + u64::from(arrival.generated_max.0.max(1));
        // The last token of an answer is never computed, those of the prompt are.
        let computed = u32::try_from(tokens - 1).unwrap_or(u32::MAX);
        let wanted = self.pool.blocks_for(TokenCount(computed));
        let total = self.pool.total();
        if wanted > total {
            return Err(SchedulerError::TooLong {
                sequence: arrival.id,
                tokens,
                wanted,
                total,
            });
        }
        Ok(())
    }

    /// Takes the blocks back. The tokens stay known, so the sequence is computed anew, not lost;
    /// and its full blocks stay cached, so most of it will be found again.
    pub(crate) fn give_way(&mut self, id: SequenceId) {
        let sequence = self.sequences.get_mut(&id).expect(IS_ADMITTED);
        sequence.computed = TokenCount(0);
        self.queue.put_back(sequence);
        self.running.retain(|&it| it != id);
        self.pool.release(id);
        self.counters.preemptions += 1;
    }

    /// Brings the blocks of a running sequence back to the tokens it still has. The last of them
    /// is computed anew, as the next draw comes from it. If a window sees something from there that
    /// was given back, the sequence gives way, and comes back with what the cache still has.
    fn cut_back(&mut self, id: SequenceId) {
        let sequence = self.sequences.get_mut(&id).expect(IS_ADMITTED);
        let last = TokenCount(sequence.known().0 - 1);
        let Some(computed) = self.pool.truncate(id, sequence.computed.min(last)) else {
            self.give_way(id);
            return;
        };
        sequence.computed = computed;
        let (known, is_one_behind) = (sequence.known(), sequence.is_one_behind());
        if !is_one_behind && self.pool.grow(id, known).is_err() {
            self.give_way(id);
        }
    }
}

pub(crate) const IS_ADMITTED: &str =
    "commands apply between steps, so what was queued is still known";
