//! One engine, one crowd, one seed.

use std::collections::BTreeSet;
use std::sync::Arc;

use sconce_domain::{
    FinishReason, Priority, Sampling, SequenceId, TenantId, TokenCount, TokenId, Withheld,
};
use sconce_engine::fake::{FakeError, FakeExecutor};
use sconce_engine::{
    Command, Constraint, Engine, EngineLimits, EngineStatus, Event, NewSequence, Stepped,
};

use crate::bounds::{blocks_max, random_limits};
use crate::crowd::{Crowd, POISON, VOCABULARY, sequence, weight_of};
use crate::dice::Dice;
use crate::script::{Breaking, Script};
use crate::watch::{Notes, Watched, watch};

const PROMPT_MAX: u32 = 40;
const ANSWER_MAX: u32 = 32;
/// All that the longest sequence computes: its last token is only told.
pub(crate) const LONGEST: TokenCount = TokenCount(PROMPT_MAX + ANSWER_MAX - 1);
/// End an answer; few enough of the vocabulary that answers are of all lengths.
const STOP_TOKENS: [TokenId; 2] = [TokenId(7), TokenId(11)];
const STEPS_WITH_ARRIVALS: u32 = 60;
const STEPS_MAX: u32 = 30_000;

/// How often things came to pass, so that the seeds cannot quietly become harmless.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    sequences: u64,
    cancelled: u64,
    rewound: u64,
    expired: u64,
    refused: u64,
    preempted: u64,
    displaced: u64,
    hit_tokens: u64,
    stopped: u64,
    filled: u64,
    failed: u64,
    lost: u64,
    scored: u64,
    passed: u64,
}

struct World {
    dice: Dice,
    limits: EngineLimits,
    engine: Engine<Watched>,
    notes: Notes,
    crowd: Crowd,
    stems: Vec<Vec<TokenId>>,
    /// Sequences that certainly run and are one token behind.
    decoding: BTreeSet<SequenceId>,
    seen: Seen,
}

/// Panics if anything is not as it should be.
pub(crate) fn simulate(seed: u64) -> Seen {
    let mut world = World::new(seed);
    for step in 0..STEPS_MAX {
        let arrivals_are_over = step >= STEPS_WITH_ARRIVALS;
        if !arrivals_are_over {
            world.arrive();
        }
        world.rewind();
        world.leave();
        world.expire();
        world.step();
        if arrivals_are_over && world.engine.is_idle() {
            return world.end();
        }
    }
    panic!("still busy after {STEPS_MAX} steps");
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let limits = random_limits(&mut dice);
        let fake = FakeExecutor::new(limits.block_size, VOCABULARY)
            .with_groups(limits.groups)
            .failing_on(POISON);
        let (watched, notes) = watch(fake);
        let stems = (0..3)
            .map(|_| random_tokens(&mut dice, PROMPT_MAX))
            .collect();
        Self {
            dice,
            limits,
            engine: Engine::new(watched, limits),
            notes,
            crowd: Crowd::default(),
            stems,
            decoding: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn arrive(&mut self) {
        let count = if self.dice.chance(5) {
            6
        } else {
            u32::from(self.dice.chance(35))
        };
        for _ in 0..count {
            let mut new = self.random_sequence();
            let script = self.random_script(&new.stop_tokens);
            new.constraint = script.clone().map(|it| Box::new(it) as Box<dyn Constraint>);
            let tokens = new.prompt.len() as u32 + new.generated_max.0.max(1);
            let fits = tokens <= self.engine.sequence_tokens_max().0;
            let (id, joined) = (new.id, fits.then(|| self.crowd.join(&new, script)));
            let admitted = self.engine.apply(Command::Start(new));
            assert_eq!(
                admitted.is_ok(),
                joined.is_some(),
                "{id} has {tokens} tokens: {admitted:?}"
            );
            self.seen.refused += u64::from(!fits);
            self.seen.sequences += 1;
        }
    }

    fn random_sequence(&mut self) -> NewSequence {
        // Not in ascending order, so that nobody takes an id for a place in the queue.
        let id = (self.seen.sequences + 1) * 7_919 % 10_007;
        let prompt = self.random_prompt();
        let longest = if self.dice.chance(2) {
            10_000
        } else {
            ANSWER_MAX
        };
        let generated_max = if self.dice.chance(10) {
            longest
        } else {
            self.dice.between(0, 20)
        };
        let mut new = sequence(id, prompt, generated_max);
        let (tenant, weight) = *self.dice.pick(&[("ada", 1), ("grace", 1), ("edsger", 3)]);
        new.tenant = TenantId(Arc::from(tenant));
        new.weight = weight_of(weight);
        new.priority = Priority(*self.dice.pick(&[0, 0, 0, 0, 0, 0, -1, 1]));
        new.stop_tokens = Arc::from(STOP_TOKENS);
        new.sampling = self.random_sampling();
        new.prompt_logprobs = *self.dice.pick(&[None, None, None, None, Some(0), Some(2)]);
        new.tells_unsaid = self.dice.chance(20);
        new
    }

    fn random_script(&mut self, stop_tokens: &[TokenId]) -> Option<Script> {
        if !self.dice.chance(30) {
            return None;
        }
        let mut script = Script::new(stop_tokens, self.dice.between(1, 12) as usize);
        if self.dice.chance(20) {
            let breaking = *self
                .dice
                .pick(&[Breaking::Mask, Breaking::Empty, Breaking::Accept]);
            script = script.breaking(breaking, self.dice.below(6) as usize);
        }
        Some(script)
    }

    fn random_sampling(&mut self) -> Sampling {
        Sampling {
            temperature: *self.dice.pick(&[0.0, 1.0]),
            seed: u64::from(self.dice.below(3)),
            withheld: Withheld {
                tokens: Arc::from(STOP_TOKENS),
                generated_min: TokenCount(*self.dice.pick(&[0, 0, 0, 6])),
            },
            ..Sampling::greedy()
        }
    }

    /// Begins like others do: with a stem that all tenants know, or with all that an earlier
    /// sequence has asked and heard.
    fn random_prompt(&mut self) -> Vec<TokenId> {
        let longest = if self.dice.chance(10) { PROMPT_MAX } else { 20 };
        let length = self.dice.between(1, longest) as usize;
        let mut prompt = self.dice.pick(&self.stems).clone();
        let earlier: Vec<&[TokenId]> = self.crowd.everybody().map(|it| it.tokens()).collect();
        if !earlier.is_empty() && self.dice.chance(30) {
            prompt = self.dice.pick(&earlier).to_vec();
        }
        prompt.truncate(self.dice.below(length as u32 + 1) as usize);
        let rest = (length - prompt.len()) as u32;
        prompt.extend(random_tokens(&mut self.dice, rest));
        if self.dice.chance(1) {
            let spoilt = self.dice.below(length as u32) as usize;
            prompt[spoilt] = POISON;
        }
        prompt
    }

    fn leave(&mut self) {
        let percent = if self.dice.chance(1) { 60 } else { 1 };
        let live: Vec<SequenceId> = self.crowd.live().collect();
        for id in live {
            if self.dice.chance(percent) {
                self.cancel(id);
            }
        }
        let unknown = Command::Cancel(SequenceId(u64::MAX));
        assert_eq!(
            self.engine.apply(unknown),
            Ok(()),
            "whoever is unknown is ignored"
        );
    }

    fn cancel(&mut self, id: SequenceId) {
        assert_eq!(
            self.engine.apply(Command::Cancel(id)),
            Ok(()),
            "anybody may leave"
        );
        self.crowd.leave(id);
        self.decoding.remove(&id);
        self.seen.cancelled += 1;
        self.check_that_nothing_is_lost();
    }

    /// Takes some back to where they have been, and asks for the impossible too.
    fn rewind(&mut self) {
        let live: Vec<SequenceId> = self.crowd.live().collect();
        for id in live {
            if !self.dice.chance(2) {
                continue;
            }
            let (least, most) = self.crowd.member(id).positions();
            let position = TokenCount(self.dice.between(least - 1, most + 1));
            let sampling = self.dice.chance(70).then(|| self.random_sampling());
            let (sequence, drawn) = (id, sampling.clone());
            let rewound = self.engine.apply(Command::Rewind {
                sequence,
                position,
                sampling,
            });
            let is_possible = (least..=most).contains(&position.0);
            assert_eq!(rewound.is_ok(), is_possible, "{id}: {rewound:?}");
            if is_possible {
                self.crowd.rewind(id, position, drawn);
                self.decoding.remove(&id);
                self.seen.rewound += u64::from(position.0 < most);
            }
            self.check_that_nothing_is_lost();
        }
    }

    /// Loses patience with some, whether they have started or not.
    fn expire(&mut self) {
        let live: Vec<SequenceId> = self.crowd.live().collect();
        for id in live {
            if self.dice.chance(1) {
                let applied = self.engine.apply(Command::Expire(id));
                assert_eq!(applied, Ok(()), "anybody may lose patience");
                self.crowd.expire(id);
            }
        }
        let unknown = Command::Expire(SequenceId(u64::MAX));
        assert_eq!(
            self.engine.apply(unknown),
            Ok(()),
            "whoever is unknown is ignored"
        );
    }

    fn step(&mut self) {
        self.notes.borrow_mut().clear();
        let was_idle = self.engine.is_idle();
        let before = self.engine.status();
        let stepped = self.engine.step();
        assert_eq!(
            was_idle,
            self.notes.borrow().is_empty(),
            "a step runs unless it is idle"
        );
        self.check_limits(before, &stepped.events);
        self.check_that_the_lost_have_failed(&stepped);
        for event in &stepped.events {
            self.crowd
                .hear(event, self.limits.block_size, stepped.failure.is_some());
            self.seen.count(event);
        }
        self.crowd.check_that_rewinds_are_told();
        self.crowd.check_that_nobody_outwaits_its_time();
        self.check_that_no_stream_stutters(before, &stepped.events);
        self.check_that_nothing_is_lost();
    }

    /// Whoever ends as failed was in a step that failed, or is named as lost.
    fn check_that_the_lost_have_failed(&mut self, stepped: &Stepped<FakeError>) {
        let has_failed = |it: &Event| {
            let Event::Ended { reason, .. } = it else {
                return false;
            };
            matches!(reason, FinishReason::Failed(_))
        };
        let failed = stepped.events.iter().filter(|it| has_failed(it));
        let failed: BTreeSet<SequenceId> = failed.map(Event::sequence).collect();
        let lost: BTreeSet<SequenceId> = stepped.lost.iter().map(|it| it.0).collect();
        assert!(lost.is_subset(&failed), "somebody is lost and goes on");
        if stepped.failure.is_none() {
            assert_eq!(lost, failed, "somebody has failed and nobody says why");
            self.seen.lost += lost.len() as u64;
        }
    }

    fn check_limits(&self, before: EngineStatus, events: &[Event]) {
        let notes = self.notes.borrow();
        let tokens: u32 = notes.iter().sum();
        assert!(notes.iter().all(|&it| it > 0), "a chunk is empty");
        assert!(
            tokens <= self.limits.step_tokens_max.0,
            "{tokens} tokens are too many"
        );
        assert!(
            notes.len() <= self.limits.running_max as usize,
            "{} run at once",
            notes.len()
        );
        let preempted = self.preempted_since(before);
        let displaced = self.displaced_since(before);
        assert!(displaced <= 1, "{displaced} give way to one");
        if preempted > displaced {
            let stayed = before.running - preempted;
            assert!(
                notes.len() <= stayed as usize,
                "somebody comes back as another gives way"
            );
            let somebody_starts = events.iter().any(|it| matches!(it, Event::Started { .. }));
            assert!(!somebody_starts, "somebody starts while another gives way");
        }
    }

    fn preempted_since(&self, before: EngineStatus) -> u32 {
        (self.engine.status().preemptions_total - before.preemptions_total) as u32
    }

    fn displaced_since(&self, before: EngineStatus) -> u32 {
        (self.engine.status().displacements_total - before.displacements_total) as u32
    }

    /// Whoever is one token behind gets it before any prompt goes on.
    fn check_that_no_stream_stutters(&mut self, before: EngineStatus, events: &[Event]) {
        let drawn: BTreeSet<SequenceId> = events.iter().filter_map(token_of).collect();
        let ended: BTreeSet<SequenceId> = events.iter().filter_map(end_of).collect();
        let preempted = self.preempted_since(before) > 0;
        let all_fit = self.decoding.len() <= self.limits.step_tokens_max.0 as usize;
        if !preempted && all_fit {
            let late = self
                .decoding
                .iter()
                .find(|it| !drawn.contains(it) && !ended.contains(it));
            assert_eq!(late, None, "a stream waits behind a prompt");
        }
        if preempted {
            self.decoding.clear();
        }
        self.decoding.extend(drawn);
        self.decoding.retain(|it| !ended.contains(it));
    }

    fn check_that_nothing_is_lost(&self) {
        self.engine.check_invariants();
        let referenced = self.engine.status().blocks_referenced;
        let most = self.crowd.tokens().map(|it| blocks_max(&self.limits, it).0);
        let most: u32 = most.sum();
        assert!(
            referenced <= most,
            "{referenced} blocks are held, {most} would do"
        );
        assert_eq!(
            self.engine.is_idle(),
            self.crowd.is_empty(),
            "a sequence is forgotten"
        );
    }

    fn end(mut self) -> Seen {
        let status = self.engine.status();
        assert_eq!(status.blocks_referenced, 0, "blocks are held by nobody");
        assert_eq!(
            status.prefix_queried_tokens_total,
            self.crowd.queried_tokens
        );
        assert_eq!(status.prefix_hit_tokens_total, self.crowd.hit_tokens);
        self.seen.displaced = status.displacements_total;
        self.seen.preempted = status.preemptions_total - status.displacements_total;
        self.seen.hit_tokens = status.prefix_hit_tokens_total;
        self.seen.passed = status.passed_total;
        self.seen
    }
}

impl Seen {
    fn count(&mut self, event: &Event) {
        let reason = match event {
            Event::Ended { reason, .. } => reason,
            Event::Scored { .. } => {
                self.scored += 1;
                return;
            }
            Event::Expired { .. } => {
                self.expired += 1;
                return;
            }
            _ => return,
        };
        match reason {
            FinishReason::Stop => self.stopped += 1,
            FinishReason::Length => self.filled += 1,
            FinishReason::Failed(_) => self.failed += 1,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sequences += other.sequences;
        self.cancelled += other.cancelled;
        self.rewound += other.rewound;
        self.expired += other.expired;
        self.refused += other.refused;
        self.preempted += other.preempted;
        self.displaced += other.displaced;
        self.hit_tokens += other.hit_tokens;
        self.stopped += other.stopped;
        self.filled += other.filled;
        self.failed += other.failed;
        self.lost += other.lost;
        self.scored += other.scored;
        self.passed += other.passed;
    }

    pub(crate) fn check_that_nothing_is_rare(&self) {
        let Self {
            sequences,
            cancelled,
            rewound,
            expired,
            refused,
            preempted,
            displaced,
            hit_tokens,
            ..
        } = *self;
        let Self {
            stopped,
            filled,
            failed,
            lost,
            scored,
            passed,
            ..
        } = *self;
        let rarest = [
            cancelled, rewound, expired, preempted, displaced, hit_tokens, stopped, filled, failed,
            lost, scored, passed,
        ]
        .into_iter()
        .min();
        assert!(
            rarest > Some(sequences / 100) && refused > 10,
            "too little happens: {self:?}"
        );
    }
}

fn token_of(event: &Event) -> Option<SequenceId> {
    match event {
        Event::Token { sequence, .. } => Some(*sequence),
        _ => None,
    }
}

fn end_of(event: &Event) -> Option<SequenceId> {
    match event {
        Event::Ended { sequence, .. } => Some(*sequence),
        _ => None,
    }
}

fn random_tokens(dice: &mut Dice, count: u32) -> Vec<TokenId> {
    (0..count)
        .map(|_| TokenId(dice.below(VOCABULARY)))
        .collect()
}
