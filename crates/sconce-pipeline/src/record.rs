//! What stays of a request: one structured event at its end, however it ends.
//!
//! The event has numbers and names, never the text of a prompt or an answer. It is written by
//! `Drop`, so that a request that is refused, abandoned or lost in a fault leaves one as well.
//!
//! Where somebody keeps records ([`Recording`]), the same goes there: an entry before the request is
//! admitted, and another one before the last of its answer is given away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use sconce_domain::{
    Caller, ClosedRecord, Failure, FinishReason, OpenedRecord, RecordedInput, RequestId,
    TokenCount, Usage,
};

use crate::accounts::{Accounts, Charge};
use crate::encoder_meter::EncoderMetrics;
use crate::hearing::Hearing;
use crate::metrics::{EndedRequest, Ending, Metrics, ModelMetrics};
use crate::recording::{Keeps, Receipt, Recording, Unrecorded};
use crate::{AskKind, Refusal};

/// How soon to ask again when records cannot be written.
const RECORD_RETRY_AFTER_S: u32 = 10;

/// A request that has arrived and is still being read. Dropping it means that the client went away.
#[derive(Debug)]
pub struct Arrival(pub(crate) OpenRecord);

impl Arrival {
    /// Turns the request away unread: `reason` says in one word why.
    pub async fn turned_away(self, reason: &'static str) {
        self.0.refused(reason).await;
    }
}

/// A request that has not ended yet.
#[derive(Debug)]
pub(crate) struct OpenRecord {
    id: RequestId,
    kind: &'static str,
    caller: Caller,
    user: Option<String>,
    arrived: Instant,
    model: Option<Arc<str>>,
    /// The model's metrics once the request has begun; a refused request counts elsewhere.
    begun: Option<Begun>,
    metrics: Arc<Metrics>,
    usage: Usage,
    first_token: Option<Instant>,
    worst: Option<FinishReason>,
    outcome: Outcome,
    /// What the request takes of its caller's limits, from when it was let in.
    charge: Option<Charge>,
    /// What was answered, if the record keeps that.
    hearing: Option<Hearing>,
    /// Who keeps the record, until it has been handed over.
    recording: Option<Recording>,
}

/// The metrics of the model that a request has begun with.
#[derive(Debug)]
enum Begun {
    Generator(Arc<ModelMetrics>),
    Encoder(Arc<EncoderMetrics>),
}

impl Begun {
    fn ended(&self, request: EndedRequest) {
        match self {
            Self::Generator(metrics) => metrics.ended(request),
            Self::Encoder(metrics) => metrics.ended(request),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Still open; if it is dropped so, the client went away.
    Open,
    Complete,
    Refused(&'static str),
}

impl OpenRecord {
    pub(crate) fn open(
        (id, kind): (RequestId, AskKind),
        caller: Caller,
        metrics: Arc<Metrics>,
        recording: Option<Recording>,
    ) -> Self {
        let keeps = recording.as_ref().map(|it| it.keeps);
        let keeps_content = keeps == Some(Keeps::Content);
        Self {
            id,
            kind: kind.as_str(),
            caller,
            user: None,
            arrived: Instant::now(),
            model: None,
            begun: None,
            metrics,
            usage: Usage::default(),
            first_token: None,
            worst: None,
            outcome: Outcome::Open,
            charge: None,
            hearing: keeps_content.then(Hearing::default),
            recording,
        }
    }

    /// Has it written that the request is about to be admitted. A process that dies from here on leaves
    /// a trace of it.
    pub(crate) async fn announce(
        &self,
        input: impl FnOnce() -> RecordedInput,
    ) -> Result<(), Refusal> {
        let Some(recording) = &self.recording else {
            return Ok(());
        };
        let (writer, receipt) = Receipt::new();
        let opened = OpenedRecord {
            id: self.id,
            kind: self.kind,
            tenant: self.caller.tenant.clone(),
            key: self.caller.key.clone(),
            input: self.hearing.as_ref().map(|_| input()),
        };
        recording.keeper.open(opened, writer);
        match receipt.await {
            Err(unrecorded) if recording.required => Err(unavailable(unrecorded)),
            _ => Ok(()),
        }
    }

    /// Hands the record to whoever keeps it, as the request stands. Once it is written, or cannot be
    /// and need not, this is fulfilled.
    pub(crate) fn close(&mut self) -> Option<Closing> {
        let Recording {
            keeper, required, ..
        } = self.recording.take()?;
        let (writer, receipt) = Receipt::new();
        let mut closed = self.closed(self.arrived.elapsed());
        closed.output = self.hearing.take().map(Hearing::into_output);
        keeper.close(closed, writer);
        Some(Closing { receipt, required })
    }

    /// [`OpenRecord::close`], and waits for it.
    pub(crate) async fn kept(&mut self) -> Result<(), Refusal> {
        let Some(closing) = self.close() else {
            return Ok(());
        };
        closing.await.map_err(unavailable)
    }

    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    pub(crate) fn first_token(&self) -> Option<Instant> {
        self.first_token
    }

    /// For whom the request is made.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Counts the request as one of its caller's.
    pub(crate) fn enter(&mut self, accounts: &Arc<Accounts>) -> Result<(), Refusal> {
        let entered = accounts.enter(&self.caller);
        self.charge = Some(entered.inspect_err(|it| self.note_limit(it))?);
        Ok(())
    }

    /// Reserves the tokens that the request may need at most.
    pub(crate) fn reserve(&mut self, tokens: u64) -> Result<(), Refusal> {
        let Some(charge) = &mut self.charge else {
            return Ok(());
        };
        let reserved = charge.reserve(tokens);
        reserved.inspect_err(|it| self.note_limit(it))
    }

    fn note_limit(&self, refusal: &Refusal) {
        if let Refusal::LimitReached(exceeded) = refusal {
            self.metrics.limit_reached(exceeded);
        }
    }

    /// Tokens that the caller is charged for: none, where nothing came.
    fn tokens_used(&self) -> u64 {
        let Usage {
            prompt, completion, ..
        } = self.usage;
        match (&self.outcome, self.worst) {
            (Outcome::Refused(_), _) => 0,
            (_, Some(FinishReason::Failed(Failure::Device))) if completion.0 == 0 => 0,
            _ => u64::from(prompt.0) + u64::from(completion.0),
        }
    }

    pub(crate) fn begin(&mut self, model: Arc<str>, prompt: TokenCount, of: Arc<ModelMetrics>) {
        self.model = Some(model);
        self.usage.prompt = prompt;
        self.begun = Some(Begun::Generator(of));
    }

    /// As [`OpenRecord::begin`], for a request of an encoder.
    pub(crate) fn begin_encoding(
        &mut self,
        model: Arc<str>,
        texts: TokenCount,
        of: Arc<EncoderMetrics>,
    ) {
        self.model = Some(model);
        self.usage.prompt = texts;
        self.begun = Some(Begun::Encoder(of));
    }

    /// Notes what was answered, or what the model reads, if the record keeps that.
    pub(crate) fn hear(&mut self, note: impl FnOnce(&mut Hearing)) {
        if let Some(hearing) = &mut self.hearing {
            note(hearing);
        }
    }

    /// Notes who asks, by the request's own word.
    pub(crate) fn asked_by(&mut self, user: Option<String>) {
        self.user = user;
    }

    /// Closes the record of a request of which nothing was computed.
    pub(crate) async fn refused(mut self, reason: &'static str) {
        self.begun = None;
        self.metrics.refused(reason);
        self.outcome = Outcome::Refused(reason);
        // The client is told of its refusal, recorded or not.
        let _told_by_its_keeper = self.kept().await;
    }

    /// An answer that had `before` tokens has `now`: fewer, if its end was taken back.
    pub(crate) fn recount(&mut self, before: u32, now: u32, first_token: Option<Instant>) {
        self.usage.completion.0 = self.usage.completion.0 - before + now;
        self.first_token = self.first_token.or(first_token);
    }

    pub(crate) fn add_cached(&mut self, cached: TokenCount) {
        self.usage.cached.0 += cached.0;
    }

    /// Of several answers the record keeps the ending that needs most attention.
    pub(crate) fn answer_ended(&mut self, reason: FinishReason) {
        self.worst = Some(match (self.worst, reason) {
            (Some(failed @ FinishReason::Failed(_)), _) | (_, failed @ FinishReason::Failed(_)) => {
                failed
            }
            (Some(FinishReason::Length), _) | (_, FinishReason::Length) => FinishReason::Length,
            _ => FinishReason::Stop,
        });
    }

    /// Notes what a request was about that gets no answer from an engine, and that it is done.
    pub(crate) fn done_with(&mut self, tokens: TokenCount) {
        self.usage.prompt = tokens;
        self.worst = Some(FinishReason::Stop);
        self.outcome = Outcome::Complete;
    }

    pub(crate) fn is_about(&mut self, model: Arc<str>) {
        self.model = Some(model);
    }

    pub(crate) fn complete(&mut self) {
        self.outcome = Outcome::Complete;
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn model(&self) -> Arc<str> {
        self.model.clone().unwrap_or_else(|| Arc::from(""))
    }

    /// How it ended. A client may leave after the last token and before reading that it was the
    /// last; that is an abandoned request too.
    fn ending(&self) -> Ending {
        match (&self.outcome, self.worst) {
            (Outcome::Complete, Some(reason)) => Ending::Finished(reason),
            (_, Some(failed @ FinishReason::Failed(_))) => Ending::Finished(failed),
            _ => Ending::Abandoned,
        }
    }

    /// The record as the request stands.
    fn closed(&self, total: Duration) -> ClosedRecord {
        let ending = self.ending();
        let (end, refusal) = match self.outcome {
            Outcome::Refused(reason) => ("refused", Some(reason)),
            Outcome::Open | Outcome::Complete => (ending.as_str(), None),
        };
        let failure = match ending {
            Ending::Finished(FinishReason::Failed(failure)) => Some(failure.as_str()),
            _ => None,
        };
        ClosedRecord {
            id: self.id,
            kind: self.kind,
            tenant: self.caller.tenant.clone(),
            key: self.caller.key.clone(),
            model: self.model.clone(),
            end,
            refusal,
            failure,
            usage: self.usage,
            ttft_ms: self
                .first_token
                .map(|it| (it - self.arrived).as_millis() as u64),
            total_ms: total.as_millis() as u64,
            output: None,
        }
    }
}

/// What the client is told; the log has the fact, which may name files.
fn unavailable(Unrecorded { fact }: Unrecorded) -> Refusal {
    tracing::warn!(%fact, "a request is refused: its record cannot be written");
    Refusal::RecordUnavailable {
        retry_after_s: RECORD_RETRY_AFTER_S,
    }
}

/// A record on its way to whoever keeps it.
#[derive(Debug)]
pub(crate) struct Closing {
    receipt: Receipt,
    required: bool,
}

impl Future for Closing {
    /// An error only where the record is required.
    type Output = Result<(), Unrecorded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let written = ready!(Pin::new(&mut self.receipt).poll(context));
        Poll::Ready(if self.required { written } else { Ok(()) })
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let used = self.tokens_used();
        if let Some(charge) = &mut self.charge {
            charge.used = used;
        }
        let total = self.arrived.elapsed();
        let ending = self.ending();
        if let Some(metrics) = &self.begun {
            metrics.ended(EndedRequest {
                ending,
                seconds: total.as_secs_f64(),
                prompt_tokens: self.usage.prompt.0,
                generation_tokens: self.usage.completion.0,
            });
        }
        // Nobody is there to wait for it.
        drop(self.close());
        let closed = self.closed(total);
        self.metrics.request_ended(closed.kind, closed.end);
        tracing::info!(
            target: "sconce::record",
            request = format_args!("{:016x}", closed.id.0),
            kind = closed.kind,
            model = closed.model.as_deref(),
            tenant = %closed.tenant.0,
            key = closed.key.as_deref(),
            user = self.user.as_deref(),
            end = closed.end,
            refusal = closed.refusal,
            failure = closed.failure,
            prompt_tokens = closed.usage.prompt.0,
            cached_tokens = closed.usage.cached.0,
            completion_tokens = closed.usage.completion.0,
            ttft_ms = closed.ttft_ms,
            total_ms = closed.total_ms,
            "request ended"
        );
    }
}
