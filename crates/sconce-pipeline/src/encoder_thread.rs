//! The one OS thread that owns an encoder, and the way to give it work.

use std::io::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use sconce_domain::EncoderText;
use tokio::sync::oneshot;

use crate::ModelContext;
use crate::device_turns::DeviceTurns;
use crate::encoder_meter::EncoderMetrics;
use crate::encoder_queue::{EncoderPlan, EncoderQueue};

/// A device that reads texts.
pub trait Encode: Send {
    /// Computes all `texts` in one pass: for each a vector, not normalised, or one logit. A text's result
    /// does not depend on the others. Nothing that a later pass depends on is kept between passes.
    fn encode(&mut self, texts: &[&EncoderText]) -> Vec<Vec<f32>>;
}

/// A running encoder. Dropping it stops the encoder after the pass it is in, and waits for that.
#[derive(Debug)]
#[must_use = "dropping this stops the encoder"]
pub struct EncoderThread {
    handle: EncoderHandle,
    thread: Option<JoinHandle<()>>,
}

/// Gives an encoder work. Clones speak to the same encoder.
#[derive(Debug, Clone)]
pub struct EncoderHandle {
    inbox: Sender<Message>,
    is_stopped: Arc<AtomicBool>,
    metrics: Arc<EncoderMetrics>,
}

enum Message {
    Start(Vec<EncoderText>, Listener),
    Stop,
}

#[derive(Debug)]
struct Listener {
    answer: oneshot::Sender<Option<Vec<Vec<f32>>>>,
    submitted: Instant,
    has_begun: bool,
}

impl EncoderThread {
    /// Starts a thread that runs `encoder`, with so many tokens of texts in one pass; a longer text has a
    /// pass of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start<E: Encode + 'static>(
        encoder: E,
        batch_tokens_max: u32,
        context: &ModelContext<EncoderMetrics>,
    ) -> Result<Self, Error> {
        let ModelContext { metrics, turns } = context.clone();
        let (inbox, messages) = channel();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            fate: Fate(Arc::clone(&is_stopped)),
            encoder,
            messages,
            queue: EncoderQueue::new(batch_tokens_max as usize),
            metrics: Arc::clone(&metrics),
            turns,
        };
        let thread = std::thread::Builder::new()
            .name("sconce-encoder".to_owned())
            .spawn(|| {
                // A worker that panics is gone with everything it held: nothing half-changed is seen.
                if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                    tracing::error!("the encoder's thread panicked; its requests have failed");
                }
            })?;
        let handle = EncoderHandle {
            inbox,
            is_stopped,
            metrics,
        };
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// The way to give this encoder work.
    #[must_use]
    pub fn handle(&self) -> EncoderHandle {
        self.handle.clone()
    }
}

impl Drop for EncoderThread {
    fn drop(&mut self) {
        // A thread that is gone needs no word.
        let _gone = self.handle.inbox.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic inside was caught and reported by the thread itself.
            let _joined = thread.join();
        }
    }
}

impl EncoderHandle {
    /// Has texts read. Dropping the future has them forgotten. Gives `None` if the pass failed or the
    /// thread is gone.
    pub(crate) async fn encode(&self, texts: Vec<EncoderText>) -> Option<Vec<Vec<f32>>> {
        let (answer, answered) = oneshot::channel();
        let listener = Listener {
            answer,
            submitted: Instant::now(),
            has_begun: false,
        };
        // A thread that is gone drops the message and with it the sender, which ends the wait.
        let _gone = self.inbox.send(Message::Start(texts, listener));
        answered.await.ok().flatten()
    }

    /// Whether the encoder takes work. Once it does not, it never does again.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.is_stopped.load(Ordering::Acquire)
    }

    pub(crate) fn metrics(&self) -> Arc<EncoderMetrics> {
        Arc::clone(&self.metrics)
    }
}

/// Tells the world that the encoder is gone, however that came about. It is the worker's first field and so
/// the first to be dropped: clients learn of the end after the handle has.
struct Fate(Arc<AtomicBool>);

impl Drop for Fate {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

struct Worker<E> {
    #[expect(dead_code, reason = "it acts when it is dropped")]
    fate: Fate,
    encoder: E,
    messages: Receiver<Message>,
    queue: EncoderQueue<Listener>,
    metrics: Arc<EncoderMetrics>,
    turns: DeviceTurns,
}

impl<E: Encode> Worker<E> {
    fn run(mut self) {
        while self.take_messages() == Flow::Go {
            self.queue.forget(|it| it.answer.is_closed());
            let plan = self.queue.plan();
            self.metrics.waiting(self.queue.waiting());
            if plan.len() > 0 {
                self.step(plan);
            }
        }
    }

    /// Takes all that has come since the last pass, and waits for more while there is no work.
    fn take_messages(&mut self) -> Flow {
        loop {
            let message = if self.queue.is_empty() {
                self.metrics.waiting(0);
                self.messages.recv().ok()
            } else {
                match self.messages.try_recv() {
                    Ok(message) => Some(message),
                    Err(TryRecvError::Empty) => return Flow::Go,
                    Err(TryRecvError::Disconnected) => None,
                }
            };
            match message {
                Some(Message::Start(texts, listener)) => self.queue.push(texts, listener),
                Some(Message::Stop) | None => return Flow::Stop,
            }
        }
    }

    fn step(&mut self, plan: EncoderPlan) {
        let now = Instant::now();
        self.metrics.batch(plan.len(), plan.tokens);
        let metrics = &self.metrics;
        self.queue.begun(&plan, |it| {
            if !std::mem::replace(&mut it.has_begun, true) {
                metrics.queued(now - it.submitted);
            }
        });
        let (encoder, texts) = (&mut self.encoder, self.queue.texts(&plan));
        // Sound because the port keeps nothing between passes that a later one depends on.
        let turn = self.turns.take();
        let computed = catch_unwind(AssertUnwindSafe(|| encoder.encode(&texts)));
        drop(turn);
        let computed = computed.ok().filter(|it| it.len() == texts.len());
        if computed.is_none() {
            tracing::error!("a pass of the encoder failed; the requests in it have failed");
        }
        for done in self.queue.commit(plan, computed) {
            // Who has left wants no answer.
            let _gone = done.listener.answer.send(done.results);
        }
    }
}
