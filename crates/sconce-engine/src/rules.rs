//! What sequences were started with, and a plan as their rules have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sconce_domain::{Sampling, SequenceId, TokenCount, TokenId};
use sconce_scheduler::{Chunk, Scheduler, Sequence, StepPlan};

use crate::{Constraint, DrawRequest, Hold, ScoreRequest, StepChunk};

/// What a sequence was started with, its tokens apart.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) sampling: Sampling,
    pub(crate) prompt_logprobs: Option<u8>,
    pub(crate) tells_unsaid: bool,
    pub(crate) generated_max: TokenCount,
    pub(crate) stop_tokens: Arc<[TokenId]>,
}

impl Rules {
    /// Whether a token is drawn after `chunk`.
    fn draws_after(&self, chunk: &Chunk) -> bool {
        chunk.draws && self.generated_max.0 > 0
    }
}

/// The constraints of the sequences that have one.
pub(crate) type Constraints = BTreeMap<SequenceId, Box<dyn Constraint>>;

/// The plan in the executor's words.
pub(crate) fn describe<'a>(
    scheduler: &'a Scheduler,
    rules: &'a BTreeMap<SequenceId, Rules>,
    plan: &StepPlan,
) -> Vec<StepChunk<'a>> {
    let describe = |chunk: &Chunk| {
        let (sequence, rules) = started(scheduler, rules, chunk.sequence);
        let positions = sequence.positions_to_score(chunk);
        let alternatives = rules.prompt_logprobs.filter(|_| !positions.is_empty());
        StepChunk {
            tokens: &sequence.tokens()[chunk.start.0 as usize..chunk.end().0 as usize],
            start: chunk.start,
            strands: scheduler.strands(chunk),
            draw: rules.draws_after(chunk).then_some(DrawRequest {
                sampling: &rules.sampling,
                prompt: sequence.prompt(),
                generated: sequence.generated(),
            }),
            score: alternatives.map(|alternatives| ScoreRequest {
                first: TokenCount(positions.start as u32),
                targets: &sequence.prompt()[positions.start + 1..=positions.end],
                alternatives,
            }),
        }
    };
    plan.chunks.iter().map(describe).collect()
}

/// What the plan's draws are held to.
pub(crate) fn holds<'a>(
    constraints: &'a mut Constraints,
    rules: &BTreeMap<SequenceId, Rules>,
    plan: &StepPlan,
) -> Vec<Hold<'a>> {
    let all = constraints.iter_mut();
    let mut all: BTreeMap<SequenceId, &mut dyn Constraint> =
        all.map(|(id, it)| (*id, it.as_mut() as _)).collect();
    let hold = |chunk: &Chunk| {
        let draws = rules
            .get(&chunk.sequence)
            .is_some_and(|it| it.draws_after(chunk));
        let constraint = all.remove(&chunk.sequence).filter(|_| draws);
        constraint.map_or_else(Hold::free, Hold::to)
    };
    plan.chunks.iter().map(hold).collect()
}

pub(crate) fn started<'a>(
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
