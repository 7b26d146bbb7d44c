//! Chooses the tokens of a step.

use sconce_domain::{SequenceId, TokenCount};

use crate::scheduler::IS_ADMITTED;
use crate::{Chunk, Scheduler, Sequence, StepPlan};

/// Positions whose keys and values cost a row as much as everything else in it does.
const POSITIONS_PER_ROW: u64 = 1024;

/// A plan in the making, and the tokens it may still take.
struct Draft {
    plan: StepPlan,
    budget: TokenCount,
    /// What prompts may still cost, in positions, where streams are not to wait for more.
    allowance: Option<u64>,
    /// Whether nobody is let in any more in this step.
    is_closed: bool,
}

impl Draft {
    fn has_room(&self) -> bool {
        self.budget.0 > 0 && self.allowance != Some(0)
    }

    /// Takes as many of `wanted` tokens from position `start` on as there is room for: at least one.
    fn take(&mut self, wanted: TokenCount, start: TokenCount) -> TokenCount {
        let mut tokens = wanted.min(self.budget);
        if let Some(allowance) = &mut self.allowance {
            let cost = POSITIONS_PER_ROW + u64::from(start.0);
            let most = u32::try_from(allowance.div_ceil(cost)).unwrap_or(u32::MAX);
            tokens = tokens.min(TokenCount(most));
            *allowance = allowance.saturating_sub(u64::from(tokens.0) * cost);
        }
        self.budget.0 -= tokens.0;
        tokens
    }
}

impl Scheduler {
    /// Chooses the tokens of the next step and takes the blocks they need. Empty only when idle.
    pub fn plan(&mut self) -> StepPlan {
        let mut draft = Draft {
            plan: StepPlan::default(),
            budget: self.limits.step_tokens_max,
            allowance: None,
            is_closed: false,
        };
        self.make_room(&mut draft);
        self.plan_those_one_behind(&mut draft);
        self.widen_prompts(&mut draft);
        self.spare_streams(&mut draft);
        self.plan_those_further_behind(&mut draft);
        draft.plan
    }

    /// Lets one running sequence give way if whoever is next in the queue has a better claim to
    /// its place and finds none. One a step, so that what is given up is never more than needed.
    fn make_room(&mut self, draft: &mut Draft) {
        let Some(head) = self.queue.head().map(|id| &self.sequences[&id]) else {
            return;
        };
        let Some(victim) = self.victim_for(head) else {
            return;
        };
        if self.has_place() && self.pool.fits(&head.tenant, head.adoptable(), head.known()) {
            return;
        }
        self.give_way(victim);
        self.counters.displacements += 1;
        draft.plan.preempted.push(victim);
    }

    /// Who must give way for `head`: whoever is least urgent, if that is less urgent than `head`;
    /// else the youngest sequence of the tenant that runs most, if `head`'s runs nothing.
    fn victim_for(&self, head: &Sequence) -> Option<SequenceId> {
        let last = &self.sequences[self.running.last()?];
        if last.priority > head.priority {
            return Some(last.id);
        }
        let rich = self.queue.richest_beside(head)?;
        let is_theirs = |id: &&SequenceId| {
            let sequence = &self.sequences[*id];
            sequence.priority == head.priority && sequence.tenant == *rich
        };
        self.running.iter().rev().find(is_theirs).copied()
    }

    /// Oldest first. Where blocks run out the youngest gives way, which is not planned yet: it
    /// comes after this one, or is this one.
    fn plan_those_one_behind(&mut self, draft: &mut Draft) {
        let mut next = 0;
        while next < self.running.len() && draft.budget.0 > 0 {
            let id = self.running[next];
            let sequence = &self.sequences[&id];
            if !sequence.is_one_behind() {
                next += 1;
            } else if self.pool.grow(id, sequence.known()).is_ok() {
                self.add(id, draft);
                next += 1;
            } else {
                self.preempt_last(draft);
            }
        }
    }

    /// Leaves prompts as much of the step as its streams are worth, and the more, the more prompts
    /// there are for each stream.
    fn spare_streams(&self, draft: &mut Draft) {
        let streams = draft.plan.chunks.len();
        if streams == 0 {
            return;
        }
        let places = (self.limits.running_max as usize).saturating_sub(self.running.len());
        let prompts = self.running.len() - streams + places.min(self.queue.len());
        let shares = prompts.div_ceil(streams).max(1) as u32;
        let TokenCount(beside) = self.limits.tokens_beside_streams;
        let rows = beside.saturating_add(streams as u32).saturating_mul(shares);
        draft.allowance = Some(u64::from(rows) * POSITIONS_PER_ROW);
    }

    /// Prompts, those that run and those that wait, the best claim first. Whoever waits is let in
    /// until one does not fit: nobody is passed by those behind.
    fn plan_those_further_behind(&mut self, draft: &mut Draft) {
        let is_behind = |id: &SequenceId| !self.sequences[id].is_one_behind();
        let mut behind: Vec<SequenceId> = self.running.iter().copied().filter(is_behind).collect();
        while draft.has_room() {
            let claim = |id: &SequenceId| self.queue.claim(&self.sequences[id]);
            let runs = behind.iter().copied().min_by_key(claim);
            let waits = self.next_in_queue(draft);
            match (runs, waits) {
                (Some(runs), Some(waits)) if claim(&waits) < claim(&runs) => {
                    self.let_in(waits, draft);
                }
                (Some(runs), _) => {
                    behind.retain(|&it| it != runs);
                    self.add(runs, draft);
                }
                (None, Some(waits)) => self.let_in(waits, draft),
                (None, None) => return,
            }
        }
    }

    fn next_in_queue(&self, draft: &Draft) -> Option<SequenceId> {
        if self.has_place() && !draft.is_closed {
            self.queue.head()
        } else {
            None
        }
    }

    fn has_place(&self) -> bool {
        self.running.len() < self.limits.running_max as usize
    }

    /// Lets the head of the queue run, or nobody any more if it cannot.
    fn let_in(&mut self, id: SequenceId, draft: &mut Draft) {
        let Some(cached) = self.take_blocks(id, &draft.plan) else {
            draft.is_closed = true;
            return;
        };
        let sequence = self.sequences.get_mut(&id).expect(IS_ADMITTED);
        sequence.computed = cached;
        self.queue.begin(sequence);
        if !sequence.has_started {
            sequence.has_started = true;
            if !sequence.is_to_be_scored() {
                self.counters.prefix_queried_tokens += sequence.prompt_length as u64;
            }
            self.counters.prefix_hit_tokens += u64::from(cached.0);
            draft.plan.started.push((id, cached));
        }
        let rank = sequence.rank();
        let at = self
            .running
            .partition_point(|it| self.sequences[it].rank() < rank);
        self.running.insert(at, id);
        self.add(id, draft);
    }

    /// Takes the cached prefix and a block for everything else that is known, or nothing.
    fn take_blocks(&mut self, id: SequenceId, plan: &StepPlan) -> Option<TokenCount> {
        let sequence = &self.sequences[&id];
        let cached = self.pool.adopt(id, &sequence.tenant, sequence.adoptable());
        if self.is_about_to_be_cached(sequence, cached, plan)
            || self.pool.grow(id, sequence.known()).is_err()
        {
            self.pool.release(id);
            return None;
        }
        Some(cached)
    }

    /// Whether this very step computes the block that `sequence` would begin with. Then waiting
    /// one step is cheaper than computing it twice, as with several answers to one prompt.
    fn is_about_to_be_cached(
        &self,
        sequence: &Sequence,
        cached: TokenCount,
        plan: &StepPlan,
    ) -> bool {
        let end = TokenCount(cached.0 + self.pool.block_size().tokens().0);
        let adoptable = sequence.adoptable();
        let Some(prefix) = adoptable.get(..end.0 as usize) else {
            return false;
        };
        let leaves_one = prefix.len() < adoptable.len();
        leaves_one
            && plan.chunks.iter().any(|chunk| {
                let other = &self.sequences[&chunk.sequence];
                (chunk.start < end && end <= chunk.end())
                    && other.tenant == sequence.tenant
                    && other.tokens.starts_with(prefix)
            })
    }

    /// Gives the prompts that run what their windows need next: as a rule what they have given back
    /// themselves. Where others have taken that, the youngest gives way that is not planned yet.
    fn widen_prompts(&mut self, draft: &mut Draft) {
        let mut next = 0;
        while next < self.running.len() {
            let id = self.running[next];
            let sequence = &self.sequences[&id];
            if sequence.is_one_behind() || self.pool.grow(id, sequence.known()).is_ok() {
                next += 1;
            } else {
                self.preempt_last(draft);
            }
        }
    }

    /// Of those that are not planned yet. Nobody is let in then: it would take what was just given
    /// up.
    fn preempt_last(&mut self, draft: &mut Draft) {
        let is_planned = |id: &SequenceId| draft.plan.chunks.iter().any(|it| it.sequence == *id);
        let unplanned = self.running.iter().rev().find(|it| !is_planned(it));
        let id = *unplanned.expect("the sequence that found no block is running");
        self.give_way(id);
        draft.plan.preempted.push(id);
        draft.is_closed = true;
    }

    /// Adds as many tokens as a sequence is behind and the budget allows, and charges its tenant:
    /// a token drawn costs as much again, as it keeps the batch for a step.
    fn add(&mut self, id: SequenceId, draft: &mut Draft) {
        let sequence = &self.sequences[&id];
        let tokens = draft.take(sequence.behind(), sequence.computed);
        let draws = tokens == sequence.behind();
        self.queue.charge(sequence, tokens.0 + u32::from(draws));
        draft.plan.chunks.push(Chunk {
            sequence: id,
            start: sequence.computed,
            tokens,
            draws,
        });
    }
}
