//! The tokens of one sequence as they come from the engine.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use sconce_domain::{Draw, Failure, FinishReason, SequenceId, TokenCount, TokenLogprobs};
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
    /// It was given up before its prompt began to be computed. Nothing came and nothing comes.
    Expired,
    /// Nothing comes any more.
    Ended { reason: FinishReason },
}

/// What became of a sequence that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has started, or ended in a fault.
    Came,
    /// It was given up. Nothing of it was computed.
    Missed,
}

/// A sequence in the engine. Dropping it is the one way to cancel the sequence.
#[derive(Debug)]
#[must_use = "dropping this cancels the sequence"]
pub(crate) struct TokenStream {
    sequence: SequenceId,
    events: UnboundedReceiver<TokenEvent>,
    engine: EngineHandle,
    /// An event that was looked at and not taken yet.
    next: Option<TokenEvent>,
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
            next: None,
            ended: false,
        }
    }

    /// Gives the sequence up if it has not started.
    pub(crate) fn expire(&self) {
        self.engine.expire(self.sequence);
    }

    /// Waits until the sequence has started, or will not. Takes no event away.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        if self.next.is_none() {
            self.next = Some(ready!(self.poll_event(context)));
        }
        Poll::Ready(match self.next {
            Some(TokenEvent::Expired) => Turn::Missed,
            _ => Turn::Came,
        })
    }

    /// The next event; none comes after `Ended` or `Expired`. An engine that is gone ends every
    /// stream as failed.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<TokenEvent> {
        if let Some(event) = self.next.take() {
            return Poll::Ready(event);
        }
        let event = ready!(self.events.poll_recv(context));
        let event = event.unwrap_or(TokenEvent::Ended {
            reason: FinishReason::Failed(Failure::Device),
        });
        self.ended |= matches!(event, TokenEvent::Ended { .. } | TokenEvent::Expired);
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
