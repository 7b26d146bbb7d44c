//! The one OS thread that owns an engine.
//!
//! Why a thread and not a task: a step computes for milliseconds to seconds and would starve the
//! async runtime, and a CUDA context belongs to the thread that made it.

use std::collections::HashMap;
use std::io::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use sconce_domain::{Failure, FinishReason, SequenceId};
use sconce_engine::{Command, Engine, EngineLimits, Event, Executor, SchedulerError};
use tokio::sync::mpsc::UnboundedSender;

use crate::ModelContext;
use crate::device_turns::DeviceTurns;
use crate::engine_handle::{Board, EngineHandle, EngineMessage, Rewind, Start};
use crate::metrics::ModelMetrics;
use crate::panic_guard::PanicGuard;
use crate::token_stream::TokenEvent;

/// A running engine. Dropping it stops the engine after the step it is in, and waits for that.
#[derive(Debug)]
#[must_use = "dropping this stops the engine"]
pub struct EngineThread {
    handle: EngineHandle,
    thread: Option<JoinHandle<()>>,
}

impl EngineThread {
    /// Starts a thread that builds a device and runs an engine on it; returns when it is built.
    ///
    /// A device that panics in a step fails that step's sequences. Whatever else panics ends the
    /// engine, as nobody knows what holds then.
    ///
    /// # Errors
    /// If the system gives no thread, or if building panics.
    pub fn start<E, B>(
        build: B,
        limits: EngineLimits,
        context: &ModelContext,
    ) -> std::io::Result<Self>
    where
        E: Executor + 'static,
        B: FnOnce() -> E + Send + 'static,
    {
        let ModelContext { metrics, turns } = context.clone();
        let (commands, inbox) = channel();
        let (built, is_built) = channel();
        let board = Arc::new(Board::default());
        let fate = Fate {
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
        };
        let run = move || {
            let engine = Engine::new(PanicGuard(build()), limits);
            // Nobody listens if `start` gave up, which it does only after this thread has.
            let _gone = built.send(engine.sequence_tokens_max());
            Worker {
                fate,
                engine,
                turns,
                inbox,
                routes: HashMap::new(),
            }
            .run();
        };
        let thread = std::thread::Builder::new()
            .name("sconce-engine".to_owned())
            .spawn(|| {
                // A worker that panics is gone with everything it held: nothing half-changed is seen.
                if catch_unwind(AssertUnwindSafe(run)).is_err() {
                    tracing::error!("the engine's thread panicked; its sequences have failed");
                }
            })?;
        let sequence_tokens_max = is_built
            .recv()
            .map_err(|_| Error::other("the engine panicked while it was built"))?;
        let handle = EngineHandle::new(commands, board, metrics, sequence_tokens_max);
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// The way to give this engine work.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            // A panic inside was caught and reported by the thread itself.
            let _joined = thread.join();
        }
    }
}

/// Tells the world that the engine is gone, however that came about. It is the worker's first field
/// and so the first to be dropped: clients learn of the end after the board has.
struct Fate {
    board: Arc<Board>,
    metrics: Arc<ModelMetrics>,
}

impl Drop for Fate {
    fn drop(&mut self) {
        self.board.engine_stopped();
        self.metrics.engine.engine_stopped();
    }
}

/// Where a sequence's events go, and what its next one is measured against.
struct Route {
    listener: UnboundedSender<TokenEvent>,
    prompt_tokens: u64,
    arrived: Instant,
    submitted: Instant,
    started: bool,
    last_token: Option<Instant>,
}

#[derive(PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

struct Worker<E: Executor> {
    fate: Fate,
    engine: Engine<E>,
    turns: DeviceTurns,
    inbox: Receiver<EngineMessage>,
    routes: HashMap<SequenceId, Route>,
}

impl<E: Executor> Worker<E> {
    fn run(mut self) {
        self.publish();
        while self.take_messages() == Flow::Go {
            let stepped = {
                let _turn = self.turns.take();
                self.engine.step()
            };
            let now = Instant::now();
            // Who has seen an event of this step finds its status no older.
            self.publish();
            for event in stepped.events {
                self.deliver(event, now);
            }
            if let Some(failure) = stepped.failure {
                tracing::error!(%failure, "a step failed on the device; its sequences have failed");
            }
            for (sequence, failure) in stepped.lost {
                tracing::warn!(sequence = sequence.0, %failure, "a sequence cannot go on");
            }
        }
    }

    /// Applies all that has come since the last step, and waits for more while there is no work.
    fn take_messages(&mut self) -> Flow {
        loop {
            let message = if self.engine.is_idle() {
                self.inbox.recv().ok()
            } else {
                match self.inbox.try_recv() {
                    Ok(message) => Some(message),
                    Err(TryRecvError::Empty) => return Flow::Go,
                    Err(TryRecvError::Disconnected) => None,
                }
            };
            match message {
                Some(EngineMessage::Start(start)) => self.start(*start),
                Some(EngineMessage::Cancel(sequence)) => self.cancel(sequence),
                Some(EngineMessage::Expire(sequence)) => self.expire(sequence),
                Some(EngineMessage::Rewind(rewind)) => self.rewind(*rewind),
                Some(EngineMessage::Stop) | None => return Flow::Stop,
            }
            self.publish();
        }
    }

    fn start(&mut self, start: Start) {
        let Start {
            sequence,
            listener,
            arrived,
            submitted,
        } = start;
        let prompt_tokens = sequence.prompt.len() as u64;
        let route = Route {
            listener,
            prompt_tokens,
            arrived,
            submitted,
            started: false,
            last_token: None,
        };
        let id = sequence.id;
        match self.engine.apply(Command::Start(sequence)) {
            Ok(()) => {
                self.routes.insert(id, route);
            }
            Err(error) => {
                // Routing has checked all that can be wrong, so this is a fault of ours.
                tracing::error!(%error, "the engine refused a sequence that routing let pass");
                let ended = TokenEvent::Ended {
                    reason: FinishReason::Failed(Failure::Device),
                };
                let _gone = route.listener.send(ended);
            }
        }
    }

    fn cancel(&mut self, sequence: SequenceId) {
        self.routes.remove(&sequence);
        let cancelled = self.engine.apply(Command::Cancel(sequence));
        debug_assert!(cancelled.is_ok(), "only a start can be refused");
    }

    fn expire(&mut self, sequence: SequenceId) {
        let applied = self.engine.apply(Command::Expire(sequence));
        debug_assert!(applied.is_ok(), "only a start can be refused");
    }

    fn rewind(&mut self, rewind: Rewind) {
        let Rewind {
            sequence,
            position,
            sampling,
        } = rewind;
        let applied = self.engine.apply(Command::Rewind {
            sequence,
            position,
            sampling: Some(sampling),
        });
        match applied {
            // Who ended before this came has been told so.
            Ok(()) | Err(SchedulerError::NotHere { .. }) => {}
            Err(error) => tracing::error!(%error, "the engine refused to take an answer back"),
        }
    }

    /// Hands `event` on. A listener that is gone has sent a cancel or is about to.
    fn deliver(&mut self, event: Event, at: Instant) {
        match event {
            Event::Started { sequence, cached } => {
                if let Some(route) = self.routes.get_mut(&sequence) {
                    route.start(at, &self.fate.metrics);
                    let _gone = route.listener.send(TokenEvent::Started { cached });
                }
            }
            Event::Token { sequence, draw } => {
                if let Some(route) = self.routes.get_mut(&sequence) {
                    route.measure_token(at, &self.fate.metrics);
                    let _gone = route.listener.send(TokenEvent::Token { draw, at });
                }
            }
            Event::Scored { sequence, scores } => {
                if let Some(route) = self.routes.get(&sequence) {
                    let _gone = route.listener.send(TokenEvent::Scored { scores });
                }
            }
            Event::Unsaid { sequence, draw } => {
                if let Some(route) = self.routes.get(&sequence) {
                    let _gone = route.listener.send(TokenEvent::Unsaid { draw });
                }
            }
            Event::Rewound { sequence, .. } => {
                if let Some(route) = self.routes.get(&sequence) {
                    let _gone = route.listener.send(TokenEvent::Rewound);
                }
            }
            Event::Expired { sequence } => {
                if let Some(route) = self.routes.remove(&sequence) {
                    let _gone = route.listener.send(TokenEvent::Expired);
                }
            }
            Event::Ended { sequence, reason } => {
                if let Some(route) = self.routes.remove(&sequence) {
                    let _gone = route.listener.send(TokenEvent::Ended { reason });
                }
                if matches!(reason, FinishReason::Failed(_)) {
                    tracing::warn!(sequence = sequence.0, "a sequence ended as failed");
                }
            }
        }
    }

    fn publish(&self) {
        let status = self.engine.status();
        self.fate.metrics.engine.follow(&status);
        self.fate.board.publish(status);
    }
}

impl Route {
    /// A preempted sequence starts again; only its first start counts.
    fn start(&mut self, at: Instant, metrics: &ModelMetrics) {
        if !self.started {
            self.started = true;
            metrics.queue_s.observe((at - self.submitted).as_secs_f64());
            metrics.prompt_tokens.inc_by(self.prompt_tokens);
        }
    }

    fn measure_token(&mut self, at: Instant, metrics: &ModelMetrics) {
        metrics.generation_tokens.inc();
        match self.last_token.replace(at) {
            None => metrics
                .first_token_s
                .observe((at - self.arrived).as_secs_f64()),
            Some(last) => metrics.between_tokens_s.observe((at - last).as_secs_f64()),
        }
    }
}
