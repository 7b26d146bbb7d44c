//! Layers with a window keep what it sees and no more, and what comes out is the same, bit by bit.

use std::sync::Arc;

use sconce_domain::{
    BlockCount, Draw, KvGroups, Priority, Sampling, SequenceId, TenantId, TokenCount, TokenId,
    Weight,
};
use sconce_engine::{Command, Engine, EngineLimits, Event, Extents, NewSequence};

use super::file_of;
use super::references::{Case, families};
use crate::{Decoder, DecoderExecutor, DecoderSettings, GgufFile, Isa, KvType};

const STEP_TOKENS_MAX: TokenCount = TokenCount(40);
/// Longer than a window and a step many times over, and as long as the tiny context lets it be.
const LONG: u32 = 400;

/// What a sequence has found in the cache and drawn, with its probabilities.
type Answer = (u32, Vec<Draw>);

/// An engine on the case's decoder.
struct Bench {
    engine: Engine<DecoderExecutor>,
    sequences: u64,
    /// The most blocks held after any step.
    held_max: u32,
}

impl Bench {
    fn new(case: &Case, groups: KvGroups, blocks: u32) -> Self {
        let file = file_of(&case.checkpoint.to_bytes().unwrap());
        let gguf = GgufFile::open(file.path()).unwrap();
        let settings = DecoderSettings {
            threads: 1,
            isa: Isa::detect(),
            kv_blocks: blocks as usize,
            kv_type: KvType::F16,
        };
        let spec = case.checkpoint.spec.clone();
        let decoder = Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap();
        let limits = EngineLimits {
            block_size: DecoderExecutor::block_size(),
            blocks: BlockCount(blocks),
            groups,
            step_tokens_max: STEP_TOKENS_MAX,
            tokens_beside_streams: TokenCount(8),
            running_max: 4,
        };
        Self {
            engine: Engine::new(DecoderExecutor::new(decoder), limits),
            sequences: 0,
            held_max: 0,
        }
    }

    fn start(&mut self, prompt: &[TokenId], generated_max: u32) {
        self.sequences += 1;
        let new = NewSequence {
            id: SequenceId(self.sequences),
            tenant: TenantId::shared(),
            weight: Weight::default(),
            priority: Priority::default(),
            prompt: prompt.to_vec(),
            sampling: Sampling {
                logprobs: Some(5),
                ..Sampling::greedy()
            },
            prompt_logprobs: None,
            tells_unsaid: false,
            generated_max: TokenCount(generated_max),
            stop_tokens: Arc::new([]),
            constraint: None,
        };
        self.engine.apply(Command::Start(new)).unwrap();
    }

    /// Runs to the end of all sequences; the answer of the last one.
    fn finish(&mut self) -> Answer {
        let mut answer = (0, Vec::new());
        while !self.engine.is_idle() {
            let stepped = self.engine.step();
            self.engine.check_invariants();
            self.held_max = self.held_max.max(self.engine.status().blocks_referenced);
            let last = SequenceId(self.sequences);
            for event in stepped
                .events
                .into_iter()
                .filter(|it| it.sequence() == last)
            {
                match event {
                    Event::Started { cached, .. } => answer.0 = cached.0,
                    Event::Token { draw, .. } => answer.1.push(draw),
                    _ => {}
                }
            }
        }
        answer
    }

    fn run(&mut self, prompt: &[TokenId], generated_max: u32) -> Answer {
        self.start(prompt, generated_max);
        self.finish()
    }
}

fn prompt(seed: u32, length: u32) -> Vec<TokenId> {
    let token = |index: u32| TokenId((index * (37 + 2 * seed) + index / 7 + seed) % 251 + 4);
    (0..length).map(token).collect()
}

fn windowed_cases() -> Vec<Case> {
    let mut cases = families();
    cases.retain(|it| Decoder::kv_groups(&it.checkpoint.spec).windowed > 0);
    assert!(cases.len() >= 4, "{} cases have windows", cases.len());
    cases
}

/// Blocks that a sequence needs, as far as its windows see.
fn blocks_for(groups: KvGroups, tokens: u32) -> u32 {
    let size = DecoderExecutor::block_size();
    let extents = Extents::new(size, groups, STEP_TOKENS_MAX);
    extents.blocks_for(TokenCount(tokens)).0
}

/// As many groups, none of which gives anything back.
fn without_windows(groups: KvGroups) -> KvGroups {
    KvGroups {
        boundless: groups.boundless + groups.windowed,
        windowed: 0,
        window: TokenCount(0),
    }
}

#[test]
fn a_long_sequence_holds_what_its_windows_see_and_gets_the_bits_it_gets_holding_all() {
    for case in windowed_cases() {
        let groups = Decoder::kv_groups(&case.checkpoint.spec);
        let [few, all] = [groups, without_windows(groups)].map(|it| blocks_for(it, LONG));
        // The window of 16, a step of 40, and a block that they begin in, whatever the length.
        assert_eq!(few, groups.boundless * 25 + groups.windowed * 5);
        let mut bounded = Bench::new(&case, groups, few);
        let mut whole = Bench::new(&case, without_windows(groups), all);
        let (tokens, answer_max) = (prompt(1, 300), LONG - 300);
        let answer = bounded.run(&tokens, answer_max);
        assert_eq!(answer.1.len() as u32, answer_max, "{}", case.name);
        assert_eq!(answer, whole.run(&tokens, answer_max), "{}", case.name);
        assert!(bounded.held_max <= few && whole.held_max == all);
        let status = bounded.engine.status();
        assert_eq!(status.preemptions_total, 0, "{}", case.name);
        // All but those that the last token sees: the last of 400 is not written.
        let passed = (LONG - 16) / 16;
        assert_eq!(status.passed_total, u64::from(groups.windowed * passed));
        assert_eq!(whole.engine.status().passed_total, 0);
    }
}

#[test]
fn sequences_in_company_that_give_way_get_the_bits_they_get_alone() {
    for case in windowed_cases() {
        let groups = Decoder::kv_groups(&case.checkpoint.spec);
        let alone = Bench::new(&case, groups, blocks_for(groups, LONG)).run(&prompt(3, 100), 60);
        let mut crowd = Bench::new(&case, groups, blocks_for(groups, LONG));
        for seed in 0..4 {
            crowd.start(&prompt(seed, 100), 60);
        }
        assert_eq!(crowd.finish().1, alone.1, "{}", case.name);
        assert!(crowd.engine.status().passed_total > 0);
    }
}

#[test]
fn a_prefix_is_reused_where_its_window_is_there_and_computed_anew_where_it_is_not() {
    for case in windowed_cases() {
        let groups = Decoder::kv_groups(&case.checkpoint.spec);
        let (begin, whole) = (prompt(1, 150), prompt(1, 260));
        let blocks = blocks_for(groups, 260 + 20);
        let fresh = |tokens: &[TokenId]| Bench::new(&case, groups, blocks).run(tokens, 20).1;
        let mut bench = Bench::new(&case, groups, blocks);
        let first = bench.run(&whole, 20);
        assert_eq!(first.0, 0, "{}", case.name);
        // What the windows saw of the end is there, and so is all that others see.
        let found = bench.run(&whole, 20);
        assert_eq!(found, (256, first.1), "{}", case.name);
        // What they saw of the beginning has given way to the rest.
        let lost = bench.run(&begin, 20);
        assert_eq!(lost, (0, fresh(&begin)), "{}", case.name);
        let found = bench.run(&begin, 20);
        assert_eq!(found, (144, lost.1), "{}", case.name);
    }
}
