//! Plan, run, commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use sconce_domain::{
    BlockCount, BlockSize, Draw, FinishReason, Sampling, SequenceId, TokenCount, TokenId,
};
use sconce_kv::BlockPool;
use sconce_scheduler::{
    Arrival, Chunk, Outcome, Scheduler, SchedulerError, Sequence, StepLimits, StepPlan,
};

use crate::{Command, DrawRequest, Event, Executor, NewSequence, Sampled, Step, StepChunk};

/// How much an engine may hold and do at once. All are at least one.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Tokens in a KV block, as the executor lays them out.
    pub block_size: BlockSize,
    /// KV blocks that the executor has.
    pub blocks: BlockCount,
    /// Tokens that one step computes at most. Below `running_max` the youngest streams stutter.
    pub step_tokens_max: TokenCount,
    /// Sequences that run at the same time at most; the others wait.
    pub running_max: u32,
}

/// Runs many sequences on one executor.
#[derive(Debug)]
pub struct Engine<E> {
    executor: E,
    scheduler: Scheduler,
    rules: BTreeMap<SequenceId, Rules>,
    /// What commands have brought about; the next step tells it first.
    untold: Vec<Event>,
    steps: u64,
    step_tokens: TokenCount,
}

/// What a sequence was started with, its tokens apart.
#[derive(Debug)]
struct Rules {
    sampling: Sampling,
    generated_max: TokenCount,
    stop_tokens: Arc<[TokenId]>,
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
    /// KV blocks whose content can be found again, whether a sequence holds them or not.
    pub blocks_cached: u32,
    /// Sequences admitted since the start.
    pub admitted_total: u64,
    /// Times a sequence gave its blocks back to be computed anew.
    pub preemptions_total: u64,
    /// Those of them that were made for a sequence with a better claim.
    pub displacements_total: u64,
    /// Prompt tokens looked up in the cache, once for each sequence.
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
            running_max: limits.running_max,
        };
        Self {
            executor,
            scheduler: Scheduler::new(
                step_limits,
                BlockPool::new(limits.block_size, limits.blocks),
            ),
            rules: BTreeMap::new(),
            untold: Vec::new(),
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
                self.rules.remove(&id);
                self.untold.retain(|it| it.sequence() != id);
                self.scheduler.cancel(id);
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
        };
        let plan = self.scheduler.plan();
        if plan.chunks.is_empty() {
            return stepped;
        }
        self.begin(&plan, &mut stepped.events);
        match self
            .executor
            .run(&describe(&self.scheduler, &self.rules, &plan))
        {
            Ok(sampled) => self.commit(&plan, sampled, &mut stepped.events),
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
            blocks_cached: pool.cached().0,
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
    }

    fn start(&mut self, new: NewSequence) -> Result<(), SchedulerError> {
        let NewSequence {
            id,
            tenant,
            weight,
            priority,
            prompt,
            sampling,
            generated_max,
            stop_tokens,
        } = new;
        self.scheduler.admit(Arrival {
            id,
            tenant,
            weight,
            priority,
            prompt,
            generated_max,
        })?;
        self.rules.insert(
            id,
            Rules {
                sampling,
                generated_max,
                stop_tokens,
            },
        );
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
        self.untold.push(Event::Rewound {
            sequence: id,
            position,
        });
        Ok(())
    }

    /// Counts a step, and tells who takes part for the first time.
    fn begin(&mut self, plan: &StepPlan, events: &mut Vec<Event>) {
        self.steps += 1;
        self.step_tokens = TokenCount(plan.chunks.iter().map(|it| it.tokens.0).sum());
        let started = plan.started.iter();
        events.extend(started.map(|&(sequence, cached)| Event::Started { sequence, cached }));
    }

    fn commit(&mut self, plan: &StepPlan, sampled: Vec<Sampled>, events: &mut Vec<Event>) {
        assert_eq!(
            plan.chunks.len(),
            sampled.len(),
            "the executor gives each chunk an outcome"
        );
        let outcomes: Vec<Outcome> = plan
            .chunks
            .iter()
            .zip(sampled)
            .map(|(chunk, sampled)| self.judge(chunk, sampled, events))
            .collect();
        self.scheduler.commit(plan, &outcomes);
    }

    /// What a chunk's outcome means for its sequence; tells it.
    fn judge(&mut self, chunk: &Chunk, sampled: Sampled, events: &mut Vec<Event>) -> Outcome {
        let Sampled::Token(draw) = sampled else {
            assert!(!chunk.draws, "the executor draws where it is asked to");
            return Outcome::Computed;
        };
        assert!(chunk.draws, "the executor draws only where it is asked to");
        let sequence = chunk.sequence;
        let token = draw.token;
        let verdict = self.verdict(sequence, &draw);
        if verdict != Some(FinishReason::Stop) {
            events.push(Event::Token { sequence, draw });
        }
        let Some(reason) = verdict else {
            return Outcome::Next(token);
        };
        events.push(Event::Ended { sequence, reason });
        self.rules.remove(&sequence);
        Outcome::Over
    }

    fn verdict(&self, id: SequenceId, draw: &Draw) -> Option<FinishReason> {
        let (sequence, rules) = started(&self.scheduler, &self.rules, id);
        if rules.stop_tokens.contains(&draw.token) {
            return Some(FinishReason::Stop);
        }
        let generated = sequence.generated().len() as u32 + 1;
        (generated >= rules.generated_max.0).then_some(FinishReason::Length)
    }

    fn abandon(&mut self, plan: &StepPlan, events: &mut Vec<Event>) {
        self.scheduler.abandon(plan);
        for chunk in &plan.chunks {
            self.rules.remove(&chunk.sequence);
            events.push(Event::Ended {
                sequence: chunk.sequence,
                reason: FinishReason::Failed,
            });
        }
    }
}

/// The plan in the executor's words.
fn describe<'a>(
    scheduler: &'a Scheduler,
    rules: &'a BTreeMap<SequenceId, Rules>,
    plan: &StepPlan,
) -> Step<'a> {
    let chunks = plan.chunks.iter().map(|chunk| {
        let (sequence, rules) = started(scheduler, rules, chunk.sequence);
        StepChunk {
            tokens: &sequence.tokens()[chunk.start.0 as usize..chunk.end().0 as usize],
            start: chunk.start,
            blocks: scheduler.blocks(chunk),
            draw: chunk.draws.then_some(DrawRequest {
                sampling: &rules.sampling,
                prompt: sequence.prompt(),
                generated: sequence.generated(),
            }),
        }
    });
    Step {
        chunks: chunks.collect(),
    }
}

fn started<'a>(
    scheduler: &'a Scheduler,
    rules: &'a BTreeMap<SequenceId, Rules>,
    id: SequenceId,
) -> (&'a Sequence, &'a Rules) {
    let sequence = scheduler
        .sequence(id)
        .expect("a planned sequence is admitted");
    (
        sequence,
        rules
            .get(&id)
            .expect("a sequence that is admitted has rules"),
    )
}
