//! A pipeline with a hand-made model: one token a byte, and a device that says the prompt again.

mod dictation;
pub(crate) mod loader;

use std::sync::Arc;
use std::time::Duration;

use sconce_domain::{
    BlockCount, BlockSize, Draw, KvGroups, Message, RequestId, Role, TokenCount, TokenId,
    TokenLogprob, TokenLogprobs, TokenMask,
};
use sconce_engine::{
    Bound, Computed, DrawRequest, EngineLimits, Executor, Hold, ScoreRequest, Step, StepChunk,
};
use sconce_pipeline::{
    AdmissionLimits, AnswerOptions, AnswerRequest, Ask, EngineThread, Grammars, Pipeline, Prompt,
    ServedModel,
};
use sconce_text::{
    ChatTemplate, EdgeTokens, SpecialTokens, TokenClass, Tokenizer, Vocabulary, VocabularyKind,
};

/// Ends an answer.
pub(crate) const END: TokenId = TokenId(256);
/// The device says this where what it would say is withheld.
pub(crate) const INSTEAD: TokenId = TokenId(b'~' as u32);
/// The device fails when it should say this byte.
pub(crate) const FAILURE: u8 = 1;
/// The device panics when it should say this byte.
pub(crate) const PANIC: u8 = 2;
/// The device forgets a chunk's outcome when it should say this byte, which no engine survives.
pub(crate) const FORGETS: u8 = 3;

/// The comment has what a template is known by that tells of functions and thoughts.
const TEMPLATE: &str = "{# tools <tool_call> \"name\" <think> </think> #}{% for message in messages %}{% if message.role == 'system' %}\
    [{{ message.content }}]{% else %}{{ message.content }}{% endif %}{% endfor %}";

/// Says the prompt again, token by token.
#[derive(Debug)]
pub(crate) struct Echo {
    /// How long a step takes.
    pub(crate) step: Duration,
}

/// The device fails.
#[derive(Debug)]
pub(crate) struct EchoFailed;

impl std::fmt::Display for EchoFailed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the echo was told to fail")
    }
}

impl std::error::Error for EchoFailed {}

impl Executor for Echo {
    type Error = EchoFailed;

    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, EchoFailed> {
        std::thread::sleep(self.step);
        holds.iter_mut().for_each(Hold::find);
        let outcomes = step.chunks.iter().zip(&*holds).map(compute);
        let mut outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
        let forgets = |it: &Draw| it.token.0 == u32::from(FORGETS);
        outcomes.retain(|it| !it.draw.as_ref().is_some_and(forgets));
        Ok(outcomes)
    }
}

fn compute((chunk, hold): (&StepChunk<'_>, &Hold<'_>)) -> Result<Computed, EchoFailed> {
    let bound = hold.bound();
    let request = chunk.draw.as_ref().filter(|_| bound != Bound::Lost);
    Ok(Computed {
        scores: chunk.score.as_ref().map_or_else(Vec::new, score),
        draw: request.map(|it| say(it, bound.mask())).transpose()?,
    })
}

/// The more certain the further on: at position `p` the probability is exp(-1 / p).
fn score(request: &ScoreRequest<'_>) -> Vec<TokenLogprobs> {
    let score = |(position, token): (u32, &TokenId)| {
        let chosen = TokenLogprob {
            token: *token,
            logprob: -1.0 / (position + 1) as f32,
        };
        let top = vec![chosen; usize::from(request.alternatives.min(1))];
        TokenLogprobs { chosen, top }
    };
    (request.first.0..)
        .zip(request.targets)
        .map(score)
        .collect()
}

fn say(request: &DrawRequest<'_>, mask: Option<&TokenMask>) -> Result<Draw, EchoFailed> {
    let token = request
        .prompt
        .get(request.generated.len())
        .copied()
        .unwrap_or(END);
    let withheld = request.sampling.withheld.after(request.generated.len());
    let token = match mask {
        Some(mask) if !mask.allows(token) => first_of(mask),
        _ if withheld.contains(&token) => INSTEAD,
        _ => token,
    };
    if token.0 == u32::from(FAILURE) {
        return Err(EchoFailed);
    }
    assert_ne!(token.0, u32::from(PANIC), "the echo was told to panic");
    let rival = |rank: u32| TokenLogprob {
        token: TokenId((token.0 + rank) % 257),
        logprob: -0.5 - rank as f32,
    };
    let logprobs = request.sampling.logprobs.map(|count| TokenLogprobs {
        chosen: rival(0),
        top: (0..u32::from(count)).map(rival).collect(),
    });
    Ok(Draw { token, logprobs })
}

fn first_of(mask: &TokenMask) -> TokenId {
    let mut tokens = (0..=END.0).map(TokenId);
    tokens.find(|it| mask.allows(*it)).unwrap_or(END)
}

/// A pipeline and the engine behind it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) engine: EngineThread,
}

/// The sizes that tests vary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) running_max: u32,
    pub(crate) queue_max: u32,
    pub(crate) context: u32,
    pub(crate) wait_max: Option<Duration>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            running_max: 8,
            queue_max: 24,
            context: 512,
            wait_max: None,
        }
    }
}

impl Stage {
    pub(crate) fn echo(step_ms: u64) -> Self {
        Self::new(
            Echo {
                step: Duration::from_millis(step_ms),
            },
            Sizes::default(),
        )
    }

    pub(crate) fn new<E: Executor + Send + 'static>(executor: E, sizes: Sizes) -> Self {
        Self::with(Pipeline::new(admission_limits(sizes)), executor, sizes)
    }

    /// The model on a pipeline that knows none yet.
    pub(crate) fn with<E: Executor + Send + 'static>(
        pipeline: Pipeline,
        executor: E,
        sizes: Sizes,
    ) -> Self {
        let pipeline = Arc::new(pipeline);
        let engine = open(&pipeline, executor, sizes);
        Self { pipeline, engine }
    }
}

pub(crate) fn admission_limits(sizes: Sizes) -> AdmissionLimits {
    AdmissionLimits {
        running_max: sizes.running_max,
        queue_max: sizes.queue_max,
        wait_max: sizes.wait_max,
    }
}

/// Adds the model to a pipeline that is still loading.
pub(crate) fn open<E: Executor + Send + 'static>(
    pipeline: &Pipeline,
    executor: E,
    sizes: Sizes,
) -> EngineThread {
    let limits = engine_limits(sizes);
    let context = pipeline.model_context("tiny");
    let engine = EngineThread::start(move || executor, limits, &context).unwrap();
    let model = served("tiny", &engine, sizes);
    pipeline.serve(model, vec!["tiny-alias".to_owned()]);
    engine
}

pub(crate) fn engine_limits(sizes: Sizes) -> EngineLimits {
    EngineLimits {
        block_size: BlockSize::new(16).unwrap(),
        blocks: BlockCount(1024),
        groups: KvGroups::one(),
        step_tokens_max: TokenCount(256),
        tokens_beside_streams: TokenCount(256),
        running_max: sizes.running_max,
    }
}

/// A model called `name` that `engine` runs.
pub(crate) fn served(name: &str, engine: &EngineThread, sizes: Sizes) -> ServedModel {
    ServedModel {
        name: Arc::from(name),
        tokenizer: Arc::new(Tokenizer::new(vocabulary()).unwrap()),
        template: Some(ChatTemplate::new(TEMPLATE, "", "").unwrap()),
        context: TokenCount(sizes.context),
        grammars: Grammars::new(Arc::new(dictation::Dictation::default())),
        engine: engine.handle(),
        created_s: 1_700_000_000,
    }
}

/// Token `b` is byte `b`, written in the letters that byte-pair vocabularies use.
fn vocabulary() -> Vocabulary {
    let mut borrowed = (0x100..).filter_map(char::from_u32);
    let mut tokens: Vec<String> = (0..=u8::MAX)
        .map(|byte| match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte).to_string(),
            _ => borrowed.next().unwrap().to_string(),
        })
        .collect();
    let mut classes = vec![TokenClass::Normal; tokens.len()];
    tokens.push("<|end|>".to_owned());
    classes.push(TokenClass::Control);
    // As many vocabularies have it; its end is text.
    tokens.push("<tool_call>".to_owned());
    classes.push(TokenClass::Control);
    Vocabulary {
        kind: VocabularyKind::BytePairs {
            merges: Vec::new(),
            pre_tokenizer: "default".to_owned(),
        },
        tokens,
        classes,
        special: SpecialTokens {
            eos: Some(END),
            ..SpecialTokens::default()
        },
        edges: EdgeTokens {
            adds_bos: Some(false),
            adds_eos: Some(false),
        },
    }
}

/// Waits for `claim` to hold, for at most five seconds.
pub(crate) async fn eventually(what: &str, claim: impl Fn() -> bool) {
    for _ in 0..1000 {
        if claim() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to be that {what}");
}

/// A request to continue `prompt`.
pub(crate) fn completion(prompt: &str) -> AnswerRequest {
    AnswerRequest {
        id: RequestId(7),
        model: None,
        ask: Ask::Completion(vec![Prompt::Text(prompt.to_owned())]),
        options: AnswerOptions {
            temperature: 0.0,
            ..AnswerOptions::default()
        },
    }
}

/// A chat of one message.
pub(crate) fn chat(content: &str) -> AnswerRequest {
    let message = Message::text(Role::User, content);
    AnswerRequest {
        ask: Ask::Chat(vec![message]),
        ..completion("")
    }
}
