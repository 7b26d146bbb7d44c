//! The tokens of one sequence as they come from the engine.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use sconce_domain::{Draw, FinishReason, SequenceId, TokenCount, TokenLogprobs};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine_handle::EngineHandle;

/// What happened to a sequence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenEvent {
    /// Its prompt began to be computed. Comes again after a preemption.
    Started { cached: TokenCount },
    /// The probabilities of the next tokens of its prompt, from the second on.
    Scored { scores: Vec<TokenLogprobs> },
    /// The next token, and when the engine had it.
    Token { draw: Draw, at: Instant },
    /// The token that ended a scored sequence, no part of its answer.
    Unsaid { draw: Draw },
    /// Nothing comes any more.
    Ended { reason: FinishReason },
}

/// A sequence in the engine. Dropping it is the one way to cancel the sequence.
#[derive(Debug)]
#[must_use = "dropping this cancels the sequence"]
pub(crate) struct TokenStream {
    sequence: SequenceId,
    events: UnboundedReceiver<TokenEvent>,
    engine: EngineHandle,
    ended: bool,
}

impl TokenStream {
    pub(crate) fn new(
        sequence: SequenceId,
        events: UnboundedReceiver<TokenEvent>,
        engine: EngineHandle,
    ) -> Self {
        Self {
            sequence,
            events,
            engine,
            ended: false,
        }
    }

    /// The next event; none comes after `Ended`. An engine that is gone ends every stream as failed.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<TokenEvent> {
        let event = ready!(self.events.poll_recv(context));
        let event = event.unwrap_or(TokenEvent::Ended {
            reason: FinishReason::Failed,
        });
        self.ended |= matches!(event, TokenEvent::Ended { .. });
        Poll::Ready(event)
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        if !self.ended {
            self.engine.cancel(self.sequence);
        }
    }
}
