//! The way of a request, in one function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sconce_domain::{Caller, RequestId, Sampling, TokenCount, TokenId, Withheld};
use tokio::sync::Semaphore;

use crate::admission::{Admission, AdmissionLimits};
use crate::answer::AnswerStream;
use crate::echo::Echo;
use crate::engine_handle::Submission;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::record::{Arrival, OpenRecord};
use crate::route::{Routed, RoutedPrompt, route};
use crate::seed::{Numbers, seed_of_answer};
use crate::selection::Selection;
use crate::served_model::{ModelEntry, ServedModel};
use crate::spoken_stream::SpokenStream;
use crate::text_stream::TextStream;
use crate::token_stream::TokenStream;
use crate::{AnswerOptions, AnswerRequest, AskKind, Refusal};

/// How soon to ask again while a model loads.
const LOADING_RETRY_AFTER_S: u32 = 5;
/// Texts that become tokens, or tokens texts, at the same time, those of prompts apart.
const TOKENIZING_MAX: usize = 2;

/// Serves requests. It is there before its first model is: until then it refuses.
#[derive(Debug)]
pub struct Pipeline {
    admission: Admission,
    models: RwLock<Arc<Models>>,
    draining: AtomicBool,
    numbers: Numbers,
    /// Turns to make tokens without an answer.
    pub(crate) tokenizing: Semaphore,
    metrics: Arc<Metrics>,
}

/// Whether new requests can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not yet: no model has been loaded.
    Loading,
    /// No longer: the server finishes what it has.
    Draining,
    /// No, and not without a restart: the engine of this model is gone.
    EngineStopped {
        /// The model.
        model: String,
    },
}

impl Pipeline {
    /// A pipeline without a model.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            admission: Admission::new(limits),
            models: RwLock::default(),
            draining: AtomicBool::new(false),
            numbers: Numbers::new(),
            tokenizing: Semaphore::new(TOKENIZING_MAX),
            metrics: Arc::new(Metrics::new()),
        }
    }

    /// Begins to serve `model`. The first model is the default one.
    pub fn serve(&self, mut model: ServedModel) {
        model.context = model.context.min(model.engine.sequence_tokens_max());
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        *models = Arc::new(models.with(model));
    }

    /// Opens the record of a request that is about to be read.
    #[must_use]
    pub fn arrive(&self, id: RequestId, kind: AskKind, caller: Caller) -> Arrival {
        let metrics = Arc::clone(&self.metrics);
        Arrival(OpenRecord::open((id, kind), caller, metrics))
    }

    /// Records a request that was turned away before anybody knew what it asks and for whom: `reason`
    /// says in one word why.
    pub fn turn_away(&self, id: RequestId, reason: &'static str) {
        let arrival = self.arrive(id, AskKind::Unread, Caller::anybody());
        arrival.turned_away(reason);
    }

    /// Answers a request that needs no reading.
    ///
    /// # Errors
    /// As [`Pipeline::answer_arrived`].
    pub async fn answer(&self, request: AnswerRequest) -> Result<AnswerStream, Refusal> {
        let arrival = self.arrive(request.id, request.ask.kind(), Caller::anybody());
        self.answer_arrived(arrival, request).await
    }

    /// Answers one request, once its turn has come. It leaves a record, refused and abandoned too.
    ///
    /// # Errors
    /// If the request is turned away. Nothing of it is left in the engine then.
    pub async fn answer_arrived(
        &self,
        Arrival(mut record): Arrival,
        request: AnswerRequest,
    ) -> Result<AnswerStream, Refusal> {
        record.asked_by(request.options.user.clone());
        match self.begin(request, &mut record).await {
            Ok(routed) => {
                let AnswerOptions {
                    wait_max, time_max, ..
                } = routed.options;
                let answers = submit(routed, record).within(time_max);
                answers.begun(wait_max).await
            }
            Err(refusal) => {
                record.refused(refusal.reason());
                Err(refusal)
            }
        }
    }

    async fn begin(
        &self,
        request: AnswerRequest,
        record: &mut OpenRecord,
    ) -> Result<Routed, Refusal> {
        let models = self.ready_models()?;
        let admitted = self.admission.admit(request)?;
        let routed = route(admitted, &models, &record.caller().tenant).await?;
        let prompt_tokens: usize = routed.prompts.iter().map(|it| it.tokens.len()).sum();
        record.begin(
            Arc::clone(&routed.model.name),
            TokenCount(u32::try_from(prompt_tokens).unwrap_or(u32::MAX)),
            routed.model.engine.metrics(),
        );
        Ok(routed)
    }

    pub(crate) fn ready_models(&self) -> Result<Arc<Models>, Refusal> {
        let models = self.models();
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        if models.iter().next().is_none() {
            return Err(Refusal::Loading {
                retry_after_s: LOADING_RETRY_AFTER_S,
            });
        }
        Ok(models)
    }

    fn models(&self) -> Arc<Models> {
        Arc::clone(&self.models.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A name for a request, never given before by this process.
    #[must_use]
    pub fn next_request_id(&self) -> RequestId {
        RequestId(self.numbers.next())
    }

    /// The models served now, the default one first.
    #[must_use]
    pub fn model_entries(&self) -> Vec<ModelEntry> {
        self.models().iter().map(|it| it.entry()).collect()
    }

    /// The model that `name` or an alias of it stands for.
    ///
    /// # Errors
    /// If there is none.
    pub fn model_entry(&self, name: &str) -> Result<ModelEntry, Refusal> {
        self.models().find(Some(name)).map(|it| it.entry())
    }

    /// Whether new requests can be served.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let models = self.models();
        if let Some(dead) = models.iter().find(|it| !it.engine.is_running()) {
            return Readiness::EngineStopped {
                model: dead.name.to_string(),
            };
        }
        if self.is_draining() {
            return Readiness::Draining;
        }
        match models.iter().next() {
            Some(_) => Readiness::Ready,
            None => Readiness::Loading,
        }
    }

    /// Refuses every request from now on. Those that have begun go on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Waits until no request is being served.
    pub async fn idle(&self) {
        self.admission.idle().await;
    }

    /// Answers that run or wait, from admission to the end of their request.
    #[must_use]
    pub fn answers_open(&self) -> u32 {
        self.admission.taken()
    }

    /// The metrics, for the making of a model's own.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Hands each answer of `routed` to the engine as a sequence of its own.
fn submit(routed: Routed, record: OpenRecord) -> AnswerStream {
    let Routed {
        model,
        prompts,
        options,
        stop,
        grammar,
        speech,
        place,
    } = routed;
    let seed = options.seed.unwrap_or_else(|| Numbers::new().next());
    let stop_tokens = model.stop_tokens(&options);
    let mut texts = Vec::new();
    for (index, prompt) in (0..).zip(repeat_each(prompts, options.sequences_each())) {
        let RoutedPrompt { tokens, echo } = prompt;
        let generated_max = answer_room(model.context, &tokens, options.generated_max);
        let prompt_logprobs = options.logprobs.filter(|_| options.echoes);
        let echo = echo.map(|it| Echo::new(it, prompt_logprobs.is_some()));
        let tokens: TokenStream = model.engine.submit(Submission {
            caller: record.caller().clone(),
            prompt: tokens,
            sampling: sampling(&options, &stop_tokens, seed_of_answer(seed, index)),
            prompt_logprobs,
            priority: options.priority,
            generated_max,
            stop_tokens: Arc::clone(&stop_tokens),
            constraint: grammar.as_ref().map(|it| it.begin()),
            arrived: record.arrived(),
        });
        let tokenizer = Arc::clone(&model.tokenizer);
        let text = TextStream::new(tokens, tokenizer, &stop, options.generated_min, echo);
        texts.push(SpokenStream::new(text, speech.as_ref()));
    }
    let each = options.sequences_each() as usize;
    let selection = options.selects().then(|| {
        let tells_tokens = options.logprobs.is_some();
        Selection::new(texts.len(), each, options.answers as usize, tells_tokens)
    });
    AnswerStream::new(texts, each, selection, record, place)
}

fn sampling(options: &AnswerOptions, stop_tokens: &Arc<[TokenId]>, seed: u64) -> Sampling {
    Sampling {
        temperature: options.temperature,
        truncation: options.truncation,
        penalties: options.penalties,
        bias: Arc::clone(&options.bias),
        withheld: Withheld {
            tokens: Arc::clone(stop_tokens),
            generated_min: options.generated_min,
        },
        seed,
        // Candidates are judged by their tokens' probabilities, whoever else wants them.
        logprobs: options.logprobs.or(options.selects().then_some(0)),
    }
}

fn repeat_each(prompts: Vec<RoutedPrompt>, answers: u32) -> impl Iterator<Item = RoutedPrompt> {
    prompts
        .into_iter()
        .flat_map(move |it| std::iter::repeat_n(it, answers as usize))
}

/// Tokens that an answer may have: what the client allows, and no more than what the prompt has
/// left of the context. Routing made sure that this has room for one.
fn answer_room(context: TokenCount, prompt: &[TokenId], wanted: Option<TokenCount>) -> TokenCount {
    let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let left = TokenCount(context.0.saturating_sub(prompt_tokens));
    wanted.map_or(left, |it| it.min(left))
}
