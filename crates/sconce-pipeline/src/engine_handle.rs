//! How everyone else talks to the engine's thread: commands in, a status board to read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sconce_domain::{Caller, Priority, Sampling, SequenceId, TokenCount, TokenId};
use sconce_engine::{Constraint, EngineStatus, NewSequence};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::metrics::ModelMetrics;
use crate::token_stream::{Origin, TokenEvent, TokenStream};

/// Gives an engine work. Clones speak to the same engine.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: Sender<EngineMessage>,
    board: Arc<Board>,
    sequences: Arc<AtomicU64>,
    metrics: Arc<ModelMetrics>,
    sequence_tokens_max: TokenCount,
}

/// What the engine's thread is told.
#[derive(Debug)]
pub(crate) enum EngineMessage {
    Start(Box<Start>),
    Cancel(SequenceId),
    Expire(SequenceId),
    Rewind(Box<Rewind>),
    Stop,
}

/// A sequence to begin and where its events go.
///
/// The channel has no bound of its own: a bounded one would let a slow client stop the whole batch
/// or lose tokens, and what it can hold is bounded by `generated_max`, and that by the context.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) sequence: NewSequence,
    pub(crate) listener: UnboundedSender<TokenEvent>,
    pub(crate) arrived: Instant,
    pub(crate) submitted: Instant,
}

/// A sequence to take back, and how it is to go on.
#[derive(Debug)]
pub(crate) struct Rewind {
    pub(crate) sequence: SequenceId,
    /// Tokens that stay, the prompt among them.
    pub(crate) position: TokenCount,
    pub(crate) sampling: Sampling,
}

/// What the engine's thread lets everyone see.
#[derive(Debug, Default)]
pub(crate) struct Board {
    status: Mutex<EngineStatus>,
    stopped: AtomicBool,
}

/// A sequence as the pipeline wants it; the handle gives it a name.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) caller: Caller,
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) sampling: Sampling,
    pub(crate) prompt_logprobs: Option<u8>,
    pub(crate) tells_unsaid: bool,
    pub(crate) priority: Priority,
    pub(crate) generated_max: TokenCount,
    pub(crate) stop_tokens: Arc<[TokenId]>,
    pub(crate) constraint: Option<Box<dyn Constraint>>,
    /// When the client's request arrived; the first token is measured from here.
    pub(crate) arrived: Instant,
}

impl EngineHandle {
    pub(crate) fn new(
        commands: Sender<EngineMessage>,
        board: Arc<Board>,
        metrics: Arc<ModelMetrics>,
        sequence_tokens_max: TokenCount,
    ) -> Self {
        let sequences = Arc::new(AtomicU64::new(0));
        Self {
            commands,
            board,
            sequences,
            metrics,
            sequence_tokens_max,
        }
    }

    /// Begins a sequence. If the engine is gone, the stream ends at once as failed.
    pub(crate) fn submit(&self, submission: Submission) -> TokenStream {
        let id = SequenceId(self.sequences.fetch_add(1, Ordering::Relaxed));
        let origin = Origin {
            sequence: id,
            prompt: TokenCount(u32::try_from(submission.prompt.len()).unwrap_or(u32::MAX)),
            sampling: submission.sampling.clone(),
        };
        let sequence = NewSequence {
            id,
            tenant: submission.caller.tenant,
            weight: submission.caller.weight,
            priority: submission.priority,
            prompt: submission.prompt,
            sampling: submission.sampling,
            prompt_logprobs: submission.prompt_logprobs,
            tells_unsaid: submission.tells_unsaid,
            generated_max: submission.generated_max,
            stop_tokens: submission.stop_tokens,
            constraint: submission.constraint,
        };
        let (listener, events) = unbounded_channel();
        let (arrived, submitted) = (submission.arrived, Instant::now());
        let start = Start {
            sequence,
            listener,
            arrived,
            submitted,
        };
        // A thread that is gone drops the message and with it the listener, which ends the stream.
        let _gone = self.commands.send(EngineMessage::Start(Box::new(start)));
        TokenStream::new(origin, events, self.clone())
    }

    pub(crate) fn cancel(&self, sequence: SequenceId) {
        // A thread that is gone has no sequence to cancel.
        let _gone = self.commands.send(EngineMessage::Cancel(sequence));
    }

    /// Has a sequence given up that has not started.
    pub(crate) fn expire(&self, sequence: SequenceId) {
        // A thread that is gone has ended the sequence.
        let _gone = self.commands.send(EngineMessage::Expire(sequence));
    }

    /// Has a sequence taken back, if it has not ended by then.
    pub(crate) fn rewind(&self, rewind: Rewind) {
        // A thread that is gone has ended the sequence.
        let _gone = self.commands.send(EngineMessage::Rewind(Box::new(rewind)));
    }

    pub(crate) fn stop(&self) {
        let _gone = self.commands.send(EngineMessage::Stop);
    }

    /// The engine's numbers after its last step or command.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        *self.board.lock()
    }

    /// Tokens of the longest prompt and answer together that the engine's KV blocks can hold.
    #[must_use]
    pub fn sequence_tokens_max(&self) -> TokenCount {
        self.sequence_tokens_max
    }

    pub(crate) fn metrics(&self) -> Arc<ModelMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Whether the engine takes work. Once it does not, it never does again.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.board.stopped.load(Ordering::Acquire)
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, EngineStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, status: EngineStatus) {
        *self.lock() = status;
    }

    pub(crate) fn engine_stopped(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}
