//! An engine on the fake device, for scenarios.

use sconce_domain::{BlockCount, BlockSize, KvGroups, TokenCount, TokenId};
use sconce_engine::fake::FakeExecutor;
use sconce_engine::{Command, Engine, EngineLimits, Event, NewSequence};

use crate::crowd::VOCABULARY;
use crate::watch::{Notes, Watched, watch};

/// An engine with blocks of four tokens.
pub(crate) struct Bench {
    pub(crate) engine: Engine<Watched>,
    notes: Notes,
}

impl Bench {
    pub(crate) fn new(blocks: u32, step_tokens_max: u32) -> Self {
        Self::of_places(64, blocks, step_tokens_max)
    }

    /// An engine that runs so many sequences at once.
    pub(crate) fn of_places(running_max: u32, blocks: u32, step_tokens_max: u32) -> Self {
        Self::beside_streams(TokenCount(u32::MAX), (running_max, blocks, step_tokens_max))
    }

    /// An engine that computes so many tokens of prompts beside streams.
    pub(crate) fn beside_streams(
        tokens_beside_streams: TokenCount,
        (running_max, blocks, step_tokens_max): (u32, u32, u32),
    ) -> Self {
        Self::of_limits(EngineLimits {
            block_size: BlockSize::new(4).expect("four is a power of two"),
            blocks: BlockCount(blocks),
            groups: KvGroups::one(),
            step_tokens_max: TokenCount(step_tokens_max),
            tokens_beside_streams,
            running_max,
        })
    }

    /// An engine for layers in such groups.
    pub(crate) fn of_groups(groups: KvGroups, blocks: u32, step_tokens_max: u32) -> Self {
        Self::of_limits(EngineLimits {
            block_size: BlockSize::new(4).expect("four is a power of two"),
            blocks: BlockCount(blocks),
            groups,
            step_tokens_max: TokenCount(step_tokens_max),
            tokens_beside_streams: TokenCount(u32::MAX),
            running_max: 64,
        })
    }

    fn of_limits(limits: EngineLimits) -> Self {
        let fake = FakeExecutor::new(limits.block_size, VOCABULARY).with_groups(limits.groups);
        let (watched, notes) = watch(fake);
        Self {
            engine: Engine::new(watched, limits),
            notes,
        }
    }

    pub(crate) fn start(&mut self, new: NewSequence) {
        self.engine
            .apply(Command::Start(new))
            .expect("the scenario starts what fits");
    }

    /// Runs one step; returns the tokens of its chunks and what it told.
    pub(crate) fn step(&mut self) -> (Vec<u32>, Vec<Event>) {
        let stepped = self.engine.step();
        self.engine.check_invariants();
        assert_eq!(stepped.failure, None);
        (self.notes.borrow().clone(), stepped.events)
    }

    /// Runs until idle; returns the tokens computed and what was told.
    pub(crate) fn finish(&mut self) -> (u32, Vec<Event>) {
        let (mut tokens, mut events) = (0, Vec::new());
        for _ in 0..10_000 {
            if self.engine.is_idle() {
                return (tokens, events);
            }
            let (chunks, told) = self.step();
            tokens += chunks.iter().sum::<u32>();
            events.extend(told);
        }
        panic!("it does not finish");
    }

    /// Runs `new` alone; returns the tokens found in the cache and the tokens computed.
    pub(crate) fn run(&mut self, new: NewSequence) -> (u32, u32) {
        self.start(new);
        let (tokens, events) = self.finish();
        match events.first() {
            Some(Event::Started { cached, .. }) => (cached.0, tokens),
            other => panic!("it must start first, not {other:?}"),
        }
    }

    pub(crate) fn referenced(&self) -> u32 {
        self.engine.status().blocks_referenced
    }
}

/// Tokens that no other `which` begins with.
pub(crate) fn prompt(which: u32, length: u32) -> Vec<TokenId> {
    (0..length)
        .map(|it| TokenId((which + it) % VOCABULARY))
        .collect()
}
