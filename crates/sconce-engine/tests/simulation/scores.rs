//! What a sequence whose prompt is scored must hear beside its answer.

use sconce_domain::{Priority, TokenLogprobs};
use sconce_engine::{NewSequence, fake};

use crate::bench::{Bench, prompt};
use crate::crowd::sequence;
use crate::scenarios::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    (
        "a prompt that is scored is computed whole, and others find it",
        computed_whole,
    ),
    (
        "a prompt that is scored goes on where it gave way",
        a_cheap_return,
    ),
];

/// Expected and heard.
#[derive(Debug, Clone)]
pub(crate) struct Scores {
    /// What a device says that computes the prompt alone and whole.
    expected: Vec<TokenLogprobs>,
    heard: usize,
}

impl Scores {
    /// Of a sequence that is scored.
    pub(crate) fn of(new: &NewSequence) -> Option<Self> {
        let alternatives = new.prompt_logprobs?;
        Some(Self {
            expected: fake::scores(&new.prompt, alternatives),
            heard: 0,
        })
    }

    /// Whether nothing of it can be found in the cache, as all of it is to be computed.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.expected.is_empty()
    }

    pub(crate) fn hear(&mut self, scores: &[TokenLogprobs]) {
        assert!(
            self.expected[self.heard..].starts_with(scores),
            "it is scored otherwise than alone, or twice"
        );
        self.heard += scores.len();
    }

    pub(crate) fn check_that_all_are_heard(&self) {
        assert_eq!(
            self.heard,
            self.expected.len(),
            "it goes on before its prompt is scored"
        );
    }
}

fn scored(new: NewSequence) -> NewSequence {
    NewSequence {
        prompt_logprobs: Some(1),
        ..new
    }
}

fn computed_whole() {
    let mut bench = Bench::new(64, 64);
    assert_eq!(bench.run(sequence(1, prompt(0, 17), 1)), (0, 17));
    assert_eq!(bench.run(scored(sequence(2, prompt(0, 17), 1))), (0, 17));
    assert_eq!(bench.run(scored(sequence(3, prompt(5, 17), 0))), (0, 17));
    assert_eq!(bench.run(sequence(4, prompt(5, 17), 1)), (16, 1));
}

fn a_cheap_return() {
    let mut bench = Bench::of_places(1, 64, 8);
    bench.start(scored(sequence(1, prompt(0, 40), 1)));
    let (first, _) = bench.step();
    let (second, _) = bench.step();
    assert_eq!((first, second), (vec![8], vec![8]));
    bench.start(NewSequence {
        priority: Priority(-1),
        ..sequence(2, prompt(20, 8), 1)
    });
    let (computed, _) = bench.finish();
    assert_eq!(computed, 8 + 24, "what was scored is not computed twice");
    assert_eq!(bench.engine.status().preemptions_total, 1);
}
