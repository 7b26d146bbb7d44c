//! Who has asked for what, what each must hear, and what each has heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sconce_domain::{
    BlockSize, Failure, FinishReason, Priority, Sampling, SequenceId, TenantId, TokenCount,
    TokenId, Weight,
};
use sconce_engine::{
    Constraint, ConstraintFailure, DrawRequest, Event, NewSequence, Progress, fake,
};

use crate::scores::Scores;
use crate::script::Script;

/// Draws are below this; small enough that stop tokens come up and prompts meet.
pub(crate) const VOCABULARY: u32 = 40;
/// No draw gives it, so only a prompt brings it to the device, which then fails.
pub(crate) const POISON: TokenId = TokenId(VOCABULARY);

/// One sequence as its client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    tenant: TenantId,
    priority: Priority,
    place: usize,
    prompt_length: usize,
    rules: Rules,
    /// Everything that is known of it: the prompt, then what was heard and stands.
    tokens: Vec<TokenId>,
    /// Where it was taken back to and has not heard so yet.
    rewinds: VecDeque<TokenCount>,
    /// What it says when it runs alone, the prompt before it.
    solo: Solo,
    /// What it hears beside its answer, if its prompt is scored.
    scores: Option<Scores>,
    /// The token that ended it and is no part of its answer.
    unsaid: Option<TokenId>,
    has_started: bool,
}

/// What a sequence comes to that has the device to itself.
#[derive(Debug, Clone)]
struct Solo {
    tokens: Vec<TokenId>,
    /// The token that ends it without being part of it, if that is told.
    unsaid: Option<TokenId>,
    reason: FinishReason,
}

/// How a sequence draws and when it ends.
#[derive(Debug, Clone)]
struct Rules {
    sampling: Sampling,
    stop_tokens: Arc<[TokenId]>,
    generated_max: u32,
    tells_unsaid: bool,
    script: Option<Script>,
}

/// All sequences, those that have ended too: others may share their prefixes.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    live: BTreeMap<SequenceId, Member>,
    gone: Vec<Member>,
    arrived: usize,
    /// Whoever is to start with the next step or be given up.
    expiring: BTreeSet<SequenceId>,
    /// Of each tenant and priority, the place of whoever started last.
    last_started: BTreeMap<(TenantId, Priority), usize>,
    pub(crate) queried_tokens: u64,
    pub(crate) hit_tokens: u64,
}

impl Member {
    fn new(new: &NewSequence, script: Option<Script>, place: usize) -> Self {
        let rules = Rules {
            sampling: new.sampling.clone(),
            stop_tokens: Arc::clone(&new.stop_tokens),
            generated_max: new.generated_max.0,
            tells_unsaid: new.tells_unsaid,
            script,
        };
        let solo = rules.run_alone(&new.prompt, &[]);
        Self {
            tenant: new.tenant.clone(),
            priority: new.priority,
            place,
            prompt_length: new.prompt.len(),
            rules,
            tokens: new.prompt.clone(),
            rewinds: VecDeque::new(),
            solo,
            scores: Scores::of(new),
            unsaid: None,
            has_started: false,
        }
    }

    pub(crate) fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Positions that it can be taken back to.
    pub(crate) fn positions(&self) -> (u32, u32) {
        (self.prompt_length as u32, self.tokens.len() as u32)
    }

    fn rewind(&mut self, position: TokenCount, sampling: Option<Sampling>) {
        self.tokens.truncate(position.0 as usize);
        self.rewinds.push_back(position);
        self.rules.sampling = sampling.unwrap_or(self.rules.sampling.clone());
        let (prompt, generated) = self.tokens.split_at(self.prompt_length);
        self.solo = self.rules.run_alone(prompt, generated);
    }

    fn hear(&mut self, token: TokenId) {
        assert!(self.has_started, "it speaks before it has started");
        assert!(
            self.rewinds.is_empty(),
            "it goes on and was not told from where"
        );
        if let Some(scores) = &self.scores {
            scores.check_that_all_are_heard();
        }
        self.tokens.push(token);
        assert!(
            self.solo.tokens.starts_with(&self.tokens),
            "it says something else than alone"
        );
    }

    fn check_end(&self, reason: FinishReason, step_failed: bool) {
        if step_failed {
            let failed = FinishReason::Failed(Failure::Device);
            assert_eq!(reason, failed, "it was in a step that failed");
        } else {
            assert_eq!(self.tokens, self.solo.tokens, "it ends too early");
            if let Some(scores) = &self.scores {
                scores.check_that_all_are_heard();
            }
            assert_eq!(
                self.unsaid, self.solo.unsaid,
                "its last token is told wrong"
            );
            assert_eq!(
                reason, self.solo.reason,
                "it ends for another reason than alone"
            );
        }
    }
}

impl Crowd {
    /// `script` is the sequence's constraint, of which the engine has a copy of its own.
    pub(crate) fn join(&mut self, new: &NewSequence, script: Option<Script>) {
        let member = Member::new(new, script, self.arrived);
        let earlier = self.live.insert(new.id, member);
        assert!(
            earlier.is_none(),
            "the world gives each sequence its own id"
        );
        self.arrived += 1;
    }

    pub(crate) fn leave(&mut self, id: SequenceId) {
        self.gone.extend(self.live.remove(&id));
    }

    /// What it has said so far may stay cached, so others may still find it.
    pub(crate) fn rewind(&mut self, id: SequenceId, to: TokenCount, sampling: Option<Sampling>) {
        let before = self.member(id).clone();
        self.gone.push(before);
        self.member(id).rewind(to, sampling);
    }

    pub(crate) fn expire(&mut self, id: SequenceId) {
        self.expiring.insert(id);
    }

    /// Whoever was to be given up has started or is gone.
    pub(crate) fn check_that_nobody_outwaits_its_time(&mut self) {
        let expiring = std::mem::take(&mut self.expiring);
        let mut waiting = self.live.iter().filter(|(_, it)| !it.has_started);
        let late = waiting.find(|(id, _)| expiring.contains(id));
        assert!(late.is_none(), "{late:?} should not wait any more");
    }

    pub(crate) fn check_that_rewinds_are_told(&self) {
        let told = self.live.values().all(|it| it.rewinds.is_empty());
        assert!(told, "somebody was taken back and not told so");
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = SequenceId> {
        self.live.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Everybody who ever came, with what is known of them.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Member> {
        self.gone.iter().chain(self.live.values())
    }

    /// Tokens of each of those who have started.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = TokenCount> {
        let started = self.live.values().filter(|it| it.has_started);
        started.map(|it| TokenCount(it.tokens.len() as u32))
    }

    pub(crate) fn hear(&mut self, event: &Event, size: BlockSize, step_failed: bool) {
        match event {
            Event::Started { sequence, cached } => self.hear_start(*sequence, *cached, size),
            Event::Token { sequence, draw } => {
                assert!(!step_failed, "a step that fails has drawn nothing");
                self.member(*sequence).hear(draw.token);
            }
            Event::Scored { sequence, scores } => {
                assert!(!step_failed, "a step that fails has scored nothing");
                self.scores(*sequence).hear(scores);
            }
            Event::Unsaid { sequence, draw } => {
                let earlier = self.member(*sequence).unsaid.replace(draw.token);
                assert_eq!(earlier, None, "{sequence} ends twice");
            }
            Event::Rewound { sequence, position } => {
                let expected = self.member(*sequence).rewinds.pop_front();
                assert_eq!(expected, Some(*position), "{sequence} goes back elsewhere");
            }
            Event::Expired { sequence } => {
                assert!(
                    self.expiring.contains(sequence),
                    "nobody gave {sequence} up"
                );
                assert!(
                    !self.member(*sequence).has_started,
                    "{sequence} had started"
                );
                self.leave(*sequence);
            }
            Event::Ended { sequence, reason } => {
                self.member(*sequence).check_end(*reason, step_failed);
                self.leave(*sequence);
            }
        }
    }

    pub(crate) fn member(&mut self, id: SequenceId) -> &mut Member {
        self.live
            .get_mut(&id)
            .unwrap_or_else(|| panic!("{id} is gone and still speaks"))
    }

    fn scores(&mut self, id: SequenceId) -> &mut Scores {
        let scores = self.member(id).scores.as_mut();
        scores.unwrap_or_else(|| panic!("{id} is scored and did not ask for it"))
    }

    fn hear_start(&mut self, id: SequenceId, cached: TokenCount, size: BlockSize) {
        let member = &self.live[&id];
        assert!(!member.has_started, "{id} starts twice");
        let queue = (member.tenant.clone(), member.priority);
        let last = self.last_started.get(&queue).copied();
        assert!(last < Some(member.place), "{id} overtakes or is overtaken");
        let mut waiting = self.live.values().filter(|it| !it.has_started);
        assert!(
            waiting.all(|it| it.priority >= member.priority),
            "{id} starts before somebody more urgent"
        );
        assert_eq!(cached.0 % size.tokens().0, 0, "{id} shares a block in part");
        assert!(
            (cached.0 as usize) < member.prompt_length,
            "{id} has nothing to compute"
        );
        assert!(
            cached.0 as usize <= self.sharable(member),
            "{id} shares what its tenant has not had computed"
        );
        self.last_started.insert(queue, member.place);
        if member.scores.as_ref().is_some_and(Scores::are_wanted) {
            assert_eq!(
                cached.0, 0,
                "{id} cannot be scored where it is not computed"
            );
        } else {
            self.queried_tokens += member.prompt_length as u64;
        }
        self.hit_tokens += u64::from(cached.0);
        self.member(id).has_started = true;
    }

    /// The longest prefix that another sequence of the same tenant has too.
    fn sharable(&self, member: &Member) -> usize {
        self.everybody()
            .filter(|it| it.place != member.place && it.tenant == member.tenant)
            .map(|it| common_prefix(&it.tokens, &member.tokens))
            .max()
            .unwrap_or(0)
    }
}

fn common_prefix(one: &[TokenId], other: &[TokenId]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

impl Rules {
    /// The prompt and the whole answer of a sequence that has the device to itself and has
    /// `generated` already, and how it ends.
    fn run_alone(&self, prompt: &[TokenId], generated: &[TokenId]) -> Solo {
        let mut script = self.script.clone();
        let mut generated = generated.to_vec();
        let fed = generated.iter().map(|it| progress(&mut script, *it));
        assert!(
            fed.into_iter().all(|it| it == Ok(Progress::Open)),
            "what was heard before goes on"
        );
        let mut unsaid = None;
        let reason = loop {
            if self.generated_max == 0 {
                break FinishReason::Length;
            }
            let mask = match script.as_mut().map(Script::mask) {
                Some(Ok(mask)) if !mask.is_empty() => Some(mask),
                Some(_) => break FinishReason::Failed(Failure::Form),
                None => None,
            };
            let request = DrawRequest {
                sampling: &self.sampling,
                prompt,
                generated: &generated,
            };
            let token = fake::draw(&request, mask.as_ref(), VOCABULARY).token;
            if self.stop_tokens.contains(&token) {
                unsaid = Some(token).filter(|_| self.tells_unsaid);
                break FinishReason::Stop;
            }
            let Ok(progress) = progress(&mut script, token) else {
                break FinishReason::Failed(Failure::Form);
            };
            generated.push(token);
            if progress == Progress::Complete {
                break FinishReason::Stop;
            }
            if generated.len() >= self.generated_max as usize {
                break FinishReason::Length;
            }
        };
        Solo {
            tokens: [prompt, &generated].concat(),
            unsaid,
            reason,
        }
    }
}

fn progress(script: &mut Option<Script>, token: TokenId) -> Result<Progress, ConstraintFailure> {
    let script = script.as_mut();
    script.map_or(Ok(Progress::Open), |it| it.accept(token))
}

/// A greedy sequence without stop tokens.
pub(crate) fn sequence(id: u64, prompt: Vec<TokenId>, generated_max: u32) -> NewSequence {
    NewSequence {
        id: SequenceId(id),
        tenant: TenantId::shared(),
        weight: Weight::default(),
        priority: Priority::default(),
        prompt,
        sampling: Sampling::greedy(),
        prompt_logprobs: None,
        tells_unsaid: false,
        generated_max: TokenCount(generated_max),
        stop_tokens: Arc::from([]),
        constraint: None,
    }
}

pub(crate) fn weight_of(weight: u16) -> Weight {
    Weight(
        weight
            .try_into()
            .expect("the simulation weighs nobody zero"),
    )
}
