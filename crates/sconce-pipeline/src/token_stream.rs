//! The tokens of one sequence as they come from the engine.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use sconce_domain::{Draw, Failure, FinishReason, Sampling, SequenceId, TokenCount, TokenLogprobs};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine_handle::{EngineHandle, Rewind};

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
    /// It was taken back: what comes from here on follows what was kept.
    Rewound,
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

/// What a sequence was begun with, as far as it matters when it is taken back.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) sequence: SequenceId,
    pub(crate) prompt: TokenCount,
    /// How it draws now.
    pub(crate) sampling: Sampling,
}

/// A sequence in the engine. Dropping it is the one way to cancel the sequence.
#[derive(Debug)]
#[must_use = "dropping this cancels the sequence"]
pub(crate) struct TokenStream {
    origin: Origin,
    /// Times it was taken back and has not heard so yet: until then the engine speaks of what was.
    rewinds_unheard: u32,
    events: UnboundedReceiver<TokenEvent>,
    engine: EngineHandle,
    /// An event that was looked at and not taken yet.
    next: Option<TokenEvent>,
    ended: bool,
}

impl TokenStream {
    pub(crate) fn new(
        origin: Origin,
        events: UnboundedReceiver<TokenEvent>,
        engine: EngineHandle,
    ) -> Self {
        Self {
            origin,
            rewinds_unheard: 0,
            events,
            engine,
            next: None,
            ended: false,
        }
    }

    /// Gives the sequence up if it has not started.
    pub(crate) fn expire(&self) {
        self.engine.expire(self.origin.sequence);
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

    /// Takes the answer back to its first `kept` tokens, all of which have come, and has it go on by
    /// the rules as `change` leaves them. No token comes any more of those that were drawn before.
    pub(crate) fn rewind(&mut self, kept: TokenCount, change: impl FnOnce(&mut Sampling)) {
        let Origin {
            sequence,
            prompt,
            sampling,
        } = &mut self.origin;
        change(sampling);
        self.rewinds_unheard += 1;
        self.engine.rewind(Rewind {
            sequence: *sequence,
            position: TokenCount(prompt.0.saturating_add(kept.0)),
            sampling: sampling.clone(),
        });
    }

    /// The next event; none comes after `Ended` or `Expired`. An engine that is gone ends every
    /// stream as failed.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<TokenEvent> {
        loop {
            match ready!(self.poll_any(context)) {
                TokenEvent::Rewound => {
                    self.rewinds_unheard = self.rewinds_unheard.saturating_sub(1);
                }
                TokenEvent::Token { .. } | TokenEvent::Unsaid { .. }
                    if self.rewinds_unheard > 0 => {}
                event => return Poll::Ready(event),
            }
        }
    }

    fn poll_any(&mut self, context: &mut Context<'_>) -> Poll<TokenEvent> {
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
            self.engine.cancel(self.origin.sequence);
        }
    }
}
