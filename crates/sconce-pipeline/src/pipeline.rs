//! The way of a request, in one function.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sconce_domain::{Caller, RequestId, Sampling, TokenCount, TokenId, Withheld};
use tokio::sync::Semaphore;

use crate::accounts::Accounts;
use crate::admission::{AdmissionLimits, Place};
use crate::answer::{AnswerStream, Held};
use crate::echo::Echo;
use crate::engine_handle::Submission;
use crate::metrics::Metrics;
use crate::models::{Kind, ModelUse, Registry, Slot};
use crate::record::{Arrival, OpenRecord};
use crate::route::{Routed, RoutedPrompt, route};
use crate::seed::{Numbers, seed_of_answer};
use crate::selection::Selection;
use crate::served_encoder::ServedEncoder;
use crate::served_model::ServedModel;
use crate::spoken_stream::SpokenStream;
use crate::text_stream::TextStream;
use crate::token_stream::TokenStream;
use crate::{
    AnswerOptions, AnswerRequest, AskKind, DeclaredModel, Displaces, MemoryLimits, ModelContext,
    ModelEntry, NameTaken, Recording, Refusal, hearing,
};

/// How soon to ask again while a model loads.
const LOADING_RETRY_AFTER_S: u32 = 5;
/// Texts that become tokens, or tokens texts, at the same time, those of prompts apart.
const TOKENIZING_MAX: usize = 2;

/// Serves requests. It is there before its first model is: until then it refuses.
#[derive(Debug)]
pub struct Pipeline {
    /// Of models that say nothing of their own.
    limits: AdmissionLimits,
    pub(crate) registry: Arc<Registry>,
    draining: AtomicBool,
    numbers: Numbers,
    /// Turns to make tokens without an answer.
    pub(crate) tokenizing: Semaphore,
    metrics: Arc<Metrics>,
    pub(crate) accounts: Arc<Accounts>,
    recording: Option<Recording>,
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
    /// No: no model can answer. This is the first of them.
    Failed {
        /// The model.
        model: String,
        /// Why it cannot.
        fact: String,
    },
}

impl Pipeline {
    /// A pipeline without a model, and without a limit to the memory of models.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self::with_memory(limits, MemoryLimits::default())
    }

    /// A pipeline without a model, whose models share so much memory.
    #[must_use]
    pub fn with_memory(limits: AdmissionLimits, memory: MemoryLimits) -> Self {
        Self {
            limits,
            registry: Arc::new(Registry::new(memory)),
            draining: AtomicBool::new(false),
            numbers: Numbers::new(),
            tokenizing: Semaphore::new(TOKENIZING_MAX),
            metrics: Arc::new(Metrics::new()),
            accounts: Arc::default(),
            recording: None,
        }
    }

    /// Charges requests to these accounts.
    #[must_use]
    pub fn charging(mut self, accounts: Accounts) -> Self {
        self.accounts = Arc::new(accounts);
        self
    }

    /// Has a record of every request kept.
    #[must_use]
    pub fn recorded_by(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Begins to serve a model that the caller has loaded and keeps. The first model is the default
    /// one.
    pub fn serve(&self, model: ServedModel, aliases: Vec<String>) {
        self.registry.keep(model, aliases, self.limits);
    }

    /// What a model that is to be served is made with.
    #[must_use]
    pub fn model_context(&self, name: &str) -> ModelContext {
        ModelContext {
            metrics: self.metrics.of_model(name),
            turns: self.registry.turns(),
        }
    }

    /// Makes a model known that continues texts. The first one is the default one.
    ///
    /// # Errors
    /// If another model has its name or one of its aliases.
    pub fn declare(&self, model: DeclaredModel) -> Result<(), NameTaken> {
        self.registry
            .declare(model, |name| self.metrics.of_model(name))
    }

    /// Makes a model known that reads texts. The first one is the default one of its kind.
    ///
    /// # Errors
    /// If another model has its name or one of its aliases.
    pub fn declare_encoder(&self, model: DeclaredModel<ServedEncoder>) -> Result<(), NameTaken> {
        self.registry
            .declare(model, |name| self.metrics.of_encoder(name))
    }

    /// Loads a model unless it is there, and says how it stands then. That it has failed to load is
    /// no error of the request.
    ///
    /// # Errors
    /// If there is no such model.
    pub async fn load_model(
        &self,
        name: &str,
        displaces: Displaces,
    ) -> Result<ModelEntry, Refusal> {
        let slot = self.registry.find(name)?;
        self.registry.load(&slot, displaces).await;
        Ok(slot.entry())
    }

    /// Unloads a model once its requests have ended, and says how it stands then. The next request
    /// for it has it loaded again.
    ///
    /// # Errors
    /// If there is no such model.
    pub async fn unload_model(&self, name: &str) -> Result<ModelEntry, Refusal> {
        let slot = self.registry.find(name)?;
        self.registry.unload(&slot).await;
        Ok(slot.entry())
    }

    /// Unloads models that nobody uses any more, each after its own time. Never ends.
    pub async fn unload_the_idle(&self) {
        self.registry.unload_the_idle().await;
    }

    /// Ends every model's thread after the step it is in. What still runs ends as failed.
    pub async fn close(&self) {
        self.registry.unload_all().await;
    }

    /// Opens the record of a request that is about to be read.
    #[must_use]
    pub fn arrive(&self, id: RequestId, kind: AskKind, caller: Caller) -> Arrival {
        let metrics = Arc::clone(&self.metrics);
        let recording = self.recording.clone();
        Arrival(OpenRecord::open((id, kind), caller, metrics, recording))
    }

    /// Records a request that was turned away before anybody knew what it asks and for whom: `reason`
    /// says in one word why.
    pub async fn turn_away(&self, id: RequestId, reason: &'static str) {
        let arrival = self.arrive(id, AskKind::Unread, Caller::anybody());
        arrival.turned_away(reason).await;
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
                record.refused(refusal.reason()).await;
                Err(refusal)
            }
        }
    }

    async fn begin(
        &self,
        request: AnswerRequest,
        record: &mut OpenRecord,
    ) -> Result<Routed, Refusal> {
        record.announce(|| hearing::asked(&request)).await?;
        record.enter(&self.accounts)?;
        let slot = self.slot_for::<ServedModel>(record.caller(), request.model.as_deref())?;
        let admitted = slot.admission.admit(request)?;
        let options = &admitted.request.options;
        let waits = [options.wait_max, options.time_max].into_iter().flatten();
        let model = self.in_time(&slot, &admitted.place, waits.min()).await?;
        let mut routed = route(admitted, model, &record.caller().tenant).await?;
        record.hear(|it| it.prompted(routed.take_texts()));
        record.reserve(tokens_max(&routed))?;
        let prompt_tokens: usize = routed.prompts.iter().map(|it| it.tokens.len()).sum();
        record.begin(
            Arc::clone(&routed.model.name),
            TokenCount(u32::try_from(prompt_tokens).unwrap_or(u32::MAX)),
            routed.model.engine.metrics(),
        );
        Ok(routed)
    }

    /// The model of `slot`. Its load is a wait for the request's turn like any other, and the holder of
    /// `place` may want to wait no longer than `wanted`.
    pub(crate) async fn in_time<M: Kind>(
        &self,
        slot: &Arc<Slot>,
        place: &Place,
        wanted: Option<Duration>,
    ) -> Result<ModelUse<M>, Refusal> {
        let taking = self.registry.take(slot);
        let Some(wait_max) = place.wait_max(wanted) else {
            return taking.await;
        };
        let taken = tokio::time::timeout(wait_max, taking).await;
        taken.unwrap_or_else(|_| {
            Err(Refusal::QueueTimeout {
                waited_ms: u64::try_from(wait_max.as_millis()).unwrap_or(u64::MAX),
                retry_after_s: place.retry_after_s(),
            })
        })
    }

    /// Where the model of that kind is that `name` stands for. A refusal names others that `may` be asked.
    pub(crate) fn slot<M: Kind>(
        &self,
        name: Option<&str>,
        may: impl Fn(&Slot) -> bool,
    ) -> Result<Arc<Slot>, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        if self.registry.slots().is_empty() {
            return Err(Refusal::Loading {
                retry_after_s: LOADING_RETRY_AFTER_S,
            });
        }
        self.registry.find_kind(M::KIND, name, may)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A name for a request, never given before by this process.
    #[must_use]
    pub fn next_request_id(&self) -> RequestId {
        RequestId(self.numbers.next())
    }

    /// All models and how they stand, the default one first.
    #[must_use]
    pub fn model_entries(&self) -> Vec<ModelEntry> {
        self.registry.entries()
    }

    /// The model that `name` or an alias of it stands for.
    ///
    /// # Errors
    /// If there is none.
    pub fn model_entry(&self, name: &str) -> Result<ModelEntry, Refusal> {
        self.registry.find(name).map(|it| it.entry())
    }

    /// Whether new requests can be served: by any model, once those have been loaded that are to be
    /// there from the start.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if let Some((model, fact)) = self.registry.failed() {
            return Readiness::Failed { model, fact };
        }
        if self.is_draining() {
            return Readiness::Draining;
        }
        match self.registry.is_starting() {
            true => Readiness::Loading,
            false => Readiness::Ready,
        }
    }

    /// Refuses every request from now on. Those that have begun go on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Waits until no request is being served.
    pub async fn idle(&self) {
        self.registry.idle().await;
    }

    /// Answers and texts that run or wait, from admission to the end of their request.
    #[must_use]
    pub fn answers_open(&self) -> u32 {
        self.registry.answers_open()
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
    let each = options.sequences_each() as usize;
    let mut texts = Vec::new();
    let mut echoes = echoes(&prompts, &options).into_iter();
    for (index, prompt) in (0..).zip(repeat_each(prompts, options.sequences_each())) {
        let tokens = prompt.tokens;
        let generated_max = answer_room(model.context, &tokens, options.generated_max);
        let echo = echoes.next().flatten();
        let tokens: TokenStream = model.engine.submit(Submission {
            caller: record.caller().clone(),
            prompt: tokens,
            sampling: sampling(&options, &stop_tokens, seed_of_answer(seed, index)),
            prompt_logprobs: echo.as_ref().and_then(|it| it.own(options.logprobs)),
            tells_unsaid: options.echoes && options.logprobs.is_some(),
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
    let selection = options.selects().then(|| {
        let tells_tokens = options.logprobs.is_some();
        Selection::new(texts.len(), each, options.answers as usize, tells_tokens)
    });
    let held = Held {
        place,
        _model: model,
    };
    AnswerStream::new(texts, each, selection, record, held)
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

/// How each answer tells its prompt, if it does. A prompt is scored for the first of its answers alone.
fn echoes(prompts: &[RoutedPrompt], options: &AnswerOptions) -> Vec<Option<Echo>> {
    let mut echoes = Vec::new();
    for prompt in prompts {
        let prompt = prompt.echo.as_ref().map(Arc::clone);
        let first = prompt.map(|it| Echo::new(it, options.logprobs.is_some()));
        let others = (1..options.sequences_each())
            .map(|_| first.as_ref().map(Echo::of_another_answer))
            .collect::<Vec<_>>();
        echoes.push(first);
        echoes.extend(others);
    }
    echoes
}

fn repeat_each(prompts: Vec<RoutedPrompt>, answers: u32) -> impl Iterator<Item = RoutedPrompt> {
    prompts
        .into_iter()
        .flat_map(move |it| std::iter::repeat_n(it, answers as usize))
}

/// Tokens that prompts and answers may have together: what the request is charged for at first.
fn tokens_max(routed: &Routed) -> u64 {
    let (context, wanted) = (routed.model.context, routed.options.generated_max);
    let each = u64::from(routed.options.sequences_each());
    let of_one = |it: &RoutedPrompt| {
        let answers = u64::from(answer_room(context, &it.tokens, wanted).0) * each;
        it.tokens.len() as u64 + answers
    };
    routed.prompts.iter().map(of_one).sum()
}

/// Tokens that an answer may have: what the client allows, and no more than what the prompt has
/// left of the context. Routing made sure that this has room for one.
fn answer_room(context: TokenCount, prompt: &[TokenId], wanted: Option<TokenCount>) -> TokenCount {
    let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let left = TokenCount(context.0.saturating_sub(prompt_tokens));
    wanted.map_or(left, |it| it.min(left))
}
