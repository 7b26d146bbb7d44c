//! Plan, run, commit.

use std::collections::BTreeMap;

use sconce_domain::{
    BlockCount, BlockSize, Draw, Failure, FinishReason, KvGroups, Sampling, SequenceId, TokenCount,
    TokenId, TokenLogprobs,
};
use sconce_kv::BlockPool;
use sconce_scheduler::{Arrival, Chunk, Outcome, Scheduler, SchedulerError, StepLimits, StepPlan};

use crate::rules::{Constraints, Rules, describe, holds, started};
use crate::{
    Command, Computed, ConstraintFailure, Event, Executor, Hold, NewSequence, Progress, Step,
};

/// How much an engine may hold and do at once. All are at least one, but for the tokens beside streams.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Tokens in a KV block, as the executor lays them out.
    pub block_size: BlockSize,
    /// KV blocks that the executor has.
    pub blocks: BlockCount,
    /// The groups of layers that share those blocks.
    pub groups: KvGroups,
    /// Tokens that one step computes at most. Below `running_max` the youngest streams stutter.
    pub step_tokens_max: TokenCount,
    /// Tokens of prompts that one step computes beside streams, and one more for each of them.
    /// So many as take no longer than a step takes whatever it holds: then streams go on at half
    /// their pace at worst.
    pub tokens_beside_streams: TokenCount,
    /// Sequences that run at the same time at most; the others wait.
    pub running_max: u32,
}

/// Runs many sequences on one executor.
#[derive(Debug)]
pub struct Engine<E> {
    executor: E,
    scheduler: Scheduler,
    rules: BTreeMap<SequenceId, Rules>,
    /// Of the sequences that have one. Apart from the rules: they change while those are read.
    constraints: Constraints,
    /// What commands have brought about; the next step tells it first.
    untold: Vec<Event>,
    /// Whoever is to start with the next step or not at all.
    expiring: Vec<SequenceId>,
    steps: u64,
    step_tokens: TokenCount,
}

/// What a drawn token means for its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes on.
    GoesOn,
    /// It ends, and the token is its last.
    EndsWith(FinishReason),
    /// It ends, and the token is no part of it.
    EndsBefore(FinishReason),
}

/// What a step has brought.
#[derive(Debug)]
#[must_use = "the events are told once"]
pub struct Stepped<Failure> {
    /// What happened to the sequences, in the order in which to tell it.
    pub events: Vec<Event>,
    /// Why the executor failed, if it did. The step's sequences have ended then; the others and
    /// the engine go on.
    pub failure: Option<Failure>,
    /// Whose constraints failed, and why. Those sequences have ended as failed, and no others.
    pub lost: Vec<(SequenceId, ConstraintFailure)>,
}

/// An engine in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStatus {
    /// Sequences that run.
    pub running: u32,
    /// Sequences that wait for a place or for blocks.
    pub waiting: u32,
    /// All KV blocks.
    pub blocks_total: u32,
    /// KV blocks that running sequences hold.
    pub blocks_referenced: u32,
    /// KV blocks that no sequence holds and whose content can be found again.
    pub blocks_cached: u32,
    /// Times that such a block's content was lost, as its place was needed.
    pub evictions_total: u64,
    /// KV blocks given back because the windows of their layers had passed them.
    pub passed_total: u64,
    /// Sequences admitted since the start.
    pub admitted_total: u64,
    /// Times a sequence gave its blocks back to be computed anew.
    pub preemptions_total: u64,
    /// Those of them that were made for a sequence with a better claim.
    pub displacements_total: u64,
    /// Prompt tokens looked up in the cache, once for each sequence whose prompt is not scored.
    pub prefix_queried_tokens_total: u64,
    /// Those of them that were found.
    pub prefix_hit_tokens_total: u64,
    /// Steps run, failed ones included.
    pub steps_total: u64,
    /// Tokens of the latest step.
    pub step_tokens: u32,
}

impl<E: Executor> Engine<E> {
    /// An idle engine.
    ///
    /// # Panics
    /// If a limit is zero.
    #[must_use]
    pub fn new(executor: E, limits: EngineLimits) -> Self {
        assert!(
            limits.blocks.0 > 0,
            "an engine without blocks holds nothing"
        );
        let step_limits = StepLimits {
            step_tokens_max: limits.step_tokens_max,
            tokens_beside_streams: limits.tokens_beside_streams,
            running_max: limits.running_max,
        };
        Self {
            executor,
            scheduler: Scheduler::new(
                step_limits,
                BlockPool::new(
                    limits.block_size,
                    limits.blocks,
                    limits.groups,
                    limits.step_tokens_max,
                ),
            ),
            rules: BTreeMap::new(),
            constraints: BTreeMap::new(),
            untold: Vec::new(),
            expiring: Vec::new(),
            steps: 0,
            step_tokens: TokenCount(0),
        }
    }

    /// Does what `command` wishes. No event comes of it before the next step.
    ///
    /// # Errors
    /// If a sequence cannot be started or rewound: see [`SchedulerError`]. Nothing has changed
    /// then. No event will ever name a sequence that was not started (or, for a duplicate id, the
    /// second of that name); [`Engine::sequence_tokens_max`] tells beforehand what is too long.
    /// A sequence that has ended cannot be rewound, though its end may not have been heard yet.
    pub fn apply(&mut self, command: Command) -> Result<(), SchedulerError> {
        match command {
            Command::Start(new) => self.start(new),
            Command::Cancel(id) => {
                self.forget(id);
                self.untold.retain(|it| it.sequence() != id);
                self.scheduler.cancel(id);
                Ok(())
            }
            Command::Expire(id) => {
                self.expiring.push(id);
                Ok(())
            }
            Command::Rewind {
                sequence,
                position,
                sampling,
            } => self.rewind(sequence, position, sampling),
        }
    }

    /// Runs one step. Does nothing when idle.
    pub fn step(&mut self) -> Stepped<E::Error> {
        let mut stepped = Stepped {
            events: std::mem::take(&mut self.untold),
            failure: None,
            lost: Vec::new(),
        };
        let plan = self.scheduler.plan();
        self.expire(&mut stepped.events);
        if plan.chunks.is_empty() {
            return stepped;
        }
        self.begin(&plan, &mut stepped.events);
        let chunks = describe(&self.scheduler, &self.rules, &plan);
        let mut holds = holds(&mut self.constraints, &self.rules, &plan);
        match self.executor.run(&Step { chunks }, &mut holds) {
            Ok(computed) => {
                let failures: Vec<_> = holds.into_iter().map(Hold::into_failure).collect();
                self.commit(&plan, failures.into_iter().zip(computed), &mut stepped);
            }
            Err(failure) => {
                self.abandon(&plan, &mut stepped.events);
                stepped.failure = Some(failure);
            }
        }
        stepped
    }

    /// Whether a step would do nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Tokens of the longest prompt and answer together that can be started.
    #[must_use]
    pub fn sequence_tokens_max(&self) -> TokenCount {
        self.scheduler.sequence_tokens_max()
    }

    /// The engine in numbers.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let pool = self.scheduler.pool();
        let counters = self.scheduler.counters();
        EngineStatus {
            running: self.scheduler.running() as u32,
            waiting: self.scheduler.waiting() as u32,
            blocks_total: pool.total().0,
            blocks_referenced: pool.referenced().0,
            blocks_cached: pool.idle().0,
            evictions_total: pool.evictions(),
            passed_total: pool.passed(),
            admitted_total: counters.admitted,
            preemptions_total: counters.preemptions,
            displacements_total: counters.displacements,
            prefix_queried_tokens_total: counters.prefix_queried_tokens,
            prefix_hit_tokens_total: counters.prefix_hit_tokens,
            steps_total: self.steps,
            step_tokens: self.step_tokens.0,
        }
    }

    /// Checks between steps that no sequence and no block is lost.
    ///
    /// # Panics
    /// If one is.
    pub fn check_invariants(&self) {
        self.scheduler.check_invariants();
        let queued = self.scheduler.running() + self.scheduler.waiting();
        assert_eq!(
            self.rules.len(),
            queued,
            "each sequence has its rules, and no other has"
        );
        assert!(
            self.constraints
                .keys()
                .all(|it| self.rules.contains_key(it)),
            "a constraint outlives its sequence"
        );
    }

    fn start(&mut self, new: NewSequence) -> Result<(), SchedulerError> {
        let NewSequence {
            id,
            tenant,
            weight,
            priority,
            prompt,
            sampling,
            prompt_logprobs,
            tells_unsaid,
            generated_max,
            stop_tokens,
            constraint,
        } = new;
        self.scheduler.admit(Arrival {
            id,
            tenant,
            weight,
            priority,
            prompt,
            scores_prompt: prompt_logprobs.is_some(),
            generated_max,
        })?;
        self.rules.insert(
            id,
            Rules {
                sampling,
                prompt_logprobs,
                tells_unsaid,
                generated_max,
                stop_tokens,
            },
        );
        self.constraints.extend(constraint.map(|it| (id, it)));
        Ok(())
    }

    fn rewind(
        &mut self,
        id: SequenceId,
        position: TokenCount,
        sampling: Option<Sampling>,
    ) -> Result<(), SchedulerError> {
        self.scheduler.rewind(id, position)?;
        if let (Some(sampling), Some(rules)) = (sampling, self.rules.get_mut(&id)) {
            rules.sampling = sampling;
        }
        if let Some(constraint) = self.constraints.get_mut(&id) {
            let (sequence, _) = started(&self.scheduler, &self.rules, id);
            constraint.rewind(TokenCount(sequence.generated().len() as u32));
        }
        self.untold.push(Event::Rewound {
            sequence: id,
            position,
        });
        Ok(())
    }

    /// Gives up whoever the step that was just planned should have started and does not.
    fn expire(&mut self, events: &mut Vec<Event>) {
        for sequence in std::mem::take(&mut self.expiring) {
            if self.scheduler.expire(sequence) {
                self.forget(sequence);
                events.push(Event::Expired { sequence });
            }
        }
    }

    /// Counts a step, and tells who takes part for the first time.
    fn begin(&mut self, plan: &StepPlan, events: &mut Vec<Event>) {
        self.steps += 1;
        self.step_tokens = TokenCount(plan.chunks.iter().map(|it| it.tokens.0).sum());
        let started = plan.started.iter();
        events.extend(started.map(|&(sequence, cached)| Event::Started { sequence, cached }));
    }

    fn commit<I>(&mut self, plan: &StepPlan, computed: I, stepped: &mut Stepped<E::Error>)
    where
        I: ExactSizeIterator<Item = (Option<ConstraintFailure>, Computed)>,
    {
        assert_eq!(
            plan.chunks.len(),
            computed.len(),
            "the executor gives each chunk an outcome"
        );
        let outcomes: Vec<Outcome> = plan
            .chunks
            .iter()
            .zip(computed)
            .map(|(chunk, (failure, computed))| {
                self.tell_scores(chunk, computed.scores, stepped);
                match (failure, computed.draw) {
                    (None, Some(draw)) => self.judge(chunk, draw, stepped),
                    (None, None) => self.go_on(chunk, stepped),
                    (Some(failure), None) => {
                        stepped.lost.push((chunk.sequence, failure));
                        self.end(chunk.sequence, FinishReason::Failed(Failure::Form), stepped)
                    }
                    (Some(_), Some(_)) => panic!("the executor draws where nothing may follow"),
                }
            })
            .collect();
        self.scheduler.commit(plan, &outcomes);
    }

    fn tell_scores(
        &self,
        chunk: &Chunk,
        scores: Vec<TokenLogprobs>,
        stepped: &mut Stepped<E::Error>,
    ) {
        let sequence = chunk.sequence;
        let (of_chunk, _) = started(&self.scheduler, &self.rules, sequence);
        assert_eq!(
            scores.len(),
            of_chunk.positions_to_score(chunk).len(),
            "the executor scores what it is asked to"
        );
        if !scores.is_empty() {
            stepped.events.push(Event::Scored { sequence, scores });
        }
    }

    /// What a chunk without a draw means for its sequence: the end, if it wants no token.
    fn go_on(&mut self, chunk: &Chunk, stepped: &mut Stepped<E::Error>) -> Outcome {
        if !chunk.draws {
            return Outcome::Computed;
        }
        let (_, rules) = started(&self.scheduler, &self.rules, chunk.sequence);
        assert_eq!(
            rules.generated_max.0, 0,
            "the executor draws where it is asked to"
        );
        self.end(chunk.sequence, FinishReason::Length, stepped)
    }

    /// What a draw means for its sequence; tells it.
    fn judge(&mut self, chunk: &Chunk, draw: Draw, stepped: &mut Stepped<E::Error>) -> Outcome {
        assert!(chunk.draws, "the executor draws only where it is asked to");
        let (sequence, token) = (chunk.sequence, draw.token);
        let verdict = self.verdict(sequence, token, &mut stepped.lost);
        if !matches!(verdict, Verdict::EndsBefore(_)) {
            stepped.events.push(Event::Token { sequence, draw });
        } else if verdict == Verdict::EndsBefore(FinishReason::Stop) && self.tells_unsaid(sequence)
        {
            stepped.events.push(Event::Unsaid { sequence, draw });
        }
        match verdict {
            Verdict::GoesOn => Outcome::Next(token),
            Verdict::EndsWith(reason) | Verdict::EndsBefore(reason) => {
                self.end(sequence, reason, stepped)
            }
        }
    }

    fn tells_unsaid(&self, id: SequenceId) -> bool {
        let (_, rules) = started(&self.scheduler, &self.rules, id);
        rules.tells_unsaid
    }

    fn verdict(
        &mut self,
        id: SequenceId,
        token: TokenId,
        lost: &mut Vec<(SequenceId, ConstraintFailure)>,
    ) -> Verdict {
        let (sequence, rules) = started(&self.scheduler, &self.rules, id);
        if rules.stop_tokens.contains(&token) {
            return Verdict::EndsBefore(FinishReason::Stop);
        }
        let generated = sequence.generated().len() as u32 + 1;
        let is_full = generated >= rules.generated_max.0;
        let constraint = self.constraints.get_mut(&id);
        match constraint.map_or(Ok(Progress::Open), |it| it.accept(token)) {
            Ok(Progress::Complete) => Verdict::EndsWith(FinishReason::Stop),
            Ok(Progress::Open) if is_full => Verdict::EndsWith(FinishReason::Length),
            Ok(Progress::Open) => Verdict::GoesOn,
            Err(failure) => {
                lost.push((id, failure));
                Verdict::EndsBefore(FinishReason::Failed(Failure::Form))
            }
        }
    }

    fn end(
        &mut self,
        sequence: SequenceId,
        reason: FinishReason,
        stepped: &mut Stepped<E::Error>,
    ) -> Outcome {
        stepped.events.push(Event::Ended { sequence, reason });
        self.forget(sequence);
        Outcome::Over
    }

    fn forget(&mut self, sequence: SequenceId) {
        self.rules.remove(&sequence);
        self.constraints.remove(&sequence);
    }

    fn abandon(&mut self, plan: &StepPlan, events: &mut Vec<Event>) {
        self.scheduler.abandon(plan);
        for chunk in &plan.chunks {
            self.forget(chunk.sequence);
            events.push(Event::Ended {
                sequence: chunk.sequence,
                reason: FinishReason::Failed(Failure::Device),
            });
        }
    }
}
