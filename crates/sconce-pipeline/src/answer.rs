//! What a request gets back: pieces of text, why each answer ended, and what it used.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::Stream;
use sconce_domain::{Failure, FinishReason, Sampling, TokenCount, Usage};
use tokio::time::{Sleep, sleep_until};

use crate::Refusal;
use crate::admission::Place;
use crate::models::ModelUse;
use crate::record::{Closing, OpenRecord};
use crate::recording::Unrecorded;
use crate::selection::Selection;
use crate::spoken_stream::{SpokenEvent, SpokenStream};
use crate::text_stream::TokenReport;
use crate::token_stream::Turn;

/// One thing that happened to a request's answers.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// An answer grew.
    Piece {
        /// Which answer: the prompt's place times the answers for each prompt, plus its own place.
        choice: u32,
        /// Whole characters; empty only where a token without text is reported.
        text: String,
        /// The tokens whose text begins here, if log-probabilities were asked for. Over a whole
        /// answer each of its tokens is reported once.
        tokens: Vec<TokenReport>,
    },
    /// The model thought something.
    Thought {
        /// Which answer.
        choice: u32,
        /// Whole characters.
        text: String,
    },
    /// The model wants a function called.
    Call {
        /// Which answer.
        choice: u32,
        /// The call's place among those of the answer.
        index: u32,
        /// The next that is known of it.
        part: CallPart,
    },
    /// An answer ended.
    Finished {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// The place of the stop string that ended it, among those of the request. Not told of answers
        /// that were chosen among several.
        stopped_by: Option<u32>,
    },
    /// All answers have ended, and the request's record is written. The last event, unless the record is
    /// required and cannot be written: then the last one is a failed end of the first answer.
    Done(Usage),
}

/// What a request's answers have cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerProgress {
    /// Tokens.
    pub usage: Usage,
    /// When the request arrived.
    pub arrived: Instant,
    /// When its prompt was handed to the engine.
    pub submitted: Instant,
    /// When its first token came.
    pub first_token: Option<Instant>,
}

/// A part of a call, as it comes: it begins, its arguments follow in pieces, it ends. One that does
/// not end is no call: the model was cut off in it, or it breaks and its text follows as a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallPart {
    /// It begins.
    Begins {
        /// What it is called in the chat.
        id: String,
        /// The function.
        name: String,
    },
    /// The next piece of its arguments; all of them are a JSON object.
    Arguments(String),
    /// It is complete.
    Ends,
    /// It is none after all.
    Breaks,
}

/// The answers to one request, as they come. Dropping it cancels those that have not ended.
#[derive(Debug)]
#[must_use = "dropping this cancels the request"]
pub struct AnswerStream {
    answers: Vec<OneAnswer>,
    /// The answer to look at first; it moves on, so that a fast answer cannot hide the others.
    first: usize,
    model: Arc<str>,
    submitted: Instant,
    done: bool,
    /// Chooses among the answers, if more are generated than given.
    selection: Option<Selection>,
    /// What it has chosen.
    chosen: VecDeque<AnswerEvent>,
    record: OpenRecord,
    /// The record on its way, once all answers have ended.
    closing: Option<Closing>,
    held: Held,
    /// When the time that the request has is over, if it has a bound.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What a request holds until its answers have ended.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) _model: ModelUse,
}

#[derive(Debug)]
struct OneAnswer {
    text: Option<SpokenStream>,
    /// Tokens that the record knows of.
    counted: u32,
    /// Whether this answer's cached tokens are the request's: each prompt is charged once, by the
    /// first answer to it.
    leads: bool,
}

impl AnswerStream {
    /// The answers to one prompt stand together, `answers_each` of them.
    pub(crate) fn new(
        texts: Vec<SpokenStream>,
        answers_each: usize,
        selection: Option<Selection>,
        record: OpenRecord,
        held: Held,
    ) -> Self {
        let group = answers_each.max(1);
        let answers = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| OneAnswer {
                text: Some(text),
                counted: 0,
                leads: index % group == 0,
            });
        Self {
            answers: answers.collect(),
            first: 0,
            model: record.model(),
            submitted: Instant::now(),
            done: false,
            selection,
            chosen: VecDeque::new(),
            record,
            closing: None,
            held,
            deadline: None,
        }
    }

    /// Breaks off what has not ended `time_max` after the request's arrival.
    pub(crate) fn within(mut self, time_max: Option<Duration>) -> Self {
        let deadline = time_max.and_then(|it| self.record.arrived().checked_add(it));
        self.deadline = deadline.map(|it| Box::pin(sleep_until(it.into())));
        self
    }

    /// Waits until the first answer has started, for as long as the request may wait: from then on
    /// it can be refused no more. The other answers stand behind the first in the queue.
    pub(crate) async fn begun(mut self, wanted: Option<Duration>) -> Result<Self, Refusal> {
        let deadline = self.deadline.as_ref().map(|it| it.deadline());
        let left = deadline.map(|it| it.saturating_duration_since(tokio::time::Instant::now()));
        let wanted = [wanted, left].into_iter().flatten().min();
        let Some(wait_max) = self.held.place.wait_max(wanted) else {
            return Ok(self);
        };
        let since = Instant::now();
        let turn = tokio::time::timeout(wait_max, self.turn()).await;
        let turn = match turn {
            Ok(turn) => turn,
            Err(_) => {
                self.expire();
                self.turn().await
            }
        };
        if turn == Turn::Came {
            return Ok(self);
        }
        let refusal = Refusal::QueueTimeout {
            waited_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            retry_after_s: self.held.place.retry_after_s(),
        };
        self.record.refused(refusal.reason()).await;
        Err(refusal)
    }

    fn expire(&self) {
        if let Some(first) = self.answers.first().and_then(|it| it.text.as_ref()) {
            first.expire();
        }
    }

    fn turn(&mut self) -> impl Future<Output = Turn> {
        poll_fn(|context| {
            let first = self.answers.first_mut().and_then(|it| it.text.as_mut());
            first.map_or(Poll::Ready(Turn::Came), |it| it.poll_turn(context))
        })
    }

    /// The served model's own name, whatever alias the client used.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What the answers have cost so far.
    #[must_use]
    pub fn progress(&self) -> AnswerProgress {
        AnswerProgress {
            usage: self.record.usage(),
            arrived: self.record.arrived(),
            submitted: self.submitted,
            first_token: self.record.first_token(),
        }
    }

    /// How many tokens of answer `choice` have come, if it has not ended.
    #[must_use]
    pub fn tokens_of(&self, choice: u32) -> Option<TokenCount> {
        let text = self.answers.get(choice as usize)?.text.as_ref()?;
        Some(TokenCount(text.progress().generated))
    }

    /// Takes answer `choice` back to its first `kept` tokens and has it go on by the rules as `change`
    /// leaves them; as they were, the same tokens come again. Tells anew, from the answer's beginning,
    /// what stands: it takes the place of all that was told of this answer before.
    ///
    /// The engine may be further than what was told, and may have ended the answer: then what stands
    /// is all of it, and its end comes next.
    ///
    /// Such an answer is not begun again over prompt and kept tokens. The engine counts an answer's tokens
    /// from the end of its prompt, and by that count it draws, penalizes, withholds the end and bounds: a
    /// sequence begun anew would count from zero, and not draw what it would have drawn. Who must be able
    /// to take an end back has to look before the engine gets there.
    ///
    /// None, and nothing has changed, if the end of the answer was told, if it has not come so far, if
    /// it begins with its prompt, or if it may not be chosen in the end.
    #[must_use]
    pub fn rewind(
        &mut self,
        choice: u32,
        kept: TokenCount,
        change: impl FnOnce(&mut Sampling),
    ) -> Option<Vec<AnswerEvent>> {
        let answer = self.answers.get_mut(choice as usize)?;
        let text = answer.text.as_mut().filter(|_| self.selection.is_none())?;
        let stands = text.rewind(kept, change)?;
        let progress = text.progress();
        self.record
            .recount(answer.counted, progress.generated, progress.first_token);
        answer.counted = progress.generated;
        let stands: Vec<AnswerEvent> = stands.into_iter().map(|it| told(choice, it)).collect();
        self.record.hear(|it| {
            it.forget(choice);
            stands.iter().for_each(|event| it.hear(event));
        });
        Some(stands)
    }

    /// Whether the request's time is over.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline.as_mut();
        deadline.is_some_and(|it| it.is_elapsed() || it.as_mut().poll(context).is_ready())
    }

    fn poll_answers(&mut self, context: &mut Context<'_>) -> Poll<AnswerEvent> {
        let is_late = self.is_late(context);
        let count = self.answers.len();
        let mut ended = 0;
        for index in (self.first..count).chain(0..self.first) {
            let Some(text) = &mut self.answers[index].text else {
                ended += 1;
                continue;
            };
            let polled = if is_late {
                let late = FinishReason::Failed(Failure::Deadline);
                Poll::Ready(SpokenEvent::Ended(late))
            } else {
                text.poll_event(context)
            };
            if let Poll::Ready(event) = polled {
                self.first = (index + 1) % count;
                return Poll::Ready(self.note(index, event));
            }
        }
        if ended < count {
            return Poll::Pending;
        }
        self.record.complete();
        self.choose();
        let kept = ready!(self.poll_kept(context));
        self.done = true;
        Poll::Ready(match kept {
            Ok(()) => AnswerEvent::Done(self.record.usage()),
            Err(Unrecorded { fact }) => {
                tracing::error!(%fact, "an answer is given up: its record cannot be written");
                let reason = FinishReason::Failed(Failure::Record);
                AnswerEvent::Finished {
                    choice: 0,
                    reason,
                    stopped_by: None,
                }
            }
        })
    }

    /// Chooses among answers that have all ended, if there are more than are wanted.
    fn choose(&mut self) {
        if let Some(mut selection) = self.selection.take() {
            self.chosen.extend(selection.choose());
            let chosen = &self.chosen;
            self.record
                .hear(|it| chosen.iter().for_each(|event| it.hear(event)));
        }
    }

    /// Waits until the record is written, if it must be.
    fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unrecorded>> {
        if self.closing.is_none() {
            self.closing = self.record.close();
        }
        match &mut self.closing {
            Some(closing) => Pin::new(closing).poll(context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Breaks off what has not ended, and waits until the record says so.
    pub async fn break_off(mut self) {
        for answer in &mut self.answers {
            answer.text = None;
        }
        if self.done {
            return;
        }
        // Whoever breaks an answer off has something worse to tell than that its record is missing.
        let _told_by_its_keeper = poll_fn(|context| self.poll_kept(context)).await;
    }

    fn note(&mut self, index: usize, event: SpokenEvent) -> AnswerEvent {
        let choice = u32::try_from(index).unwrap_or(u32::MAX);
        let answer = &mut self.answers[index];
        let mut mean_logprob = f64::NAN;
        let mut stopped_by = None;
        if let Some(text) = &answer.text {
            let progress = text.progress();
            mean_logprob = progress.mean_logprob();
            stopped_by = progress.stopped_by;
            self.record
                .recount(answer.counted, progress.generated, progress.first_token);
            answer.counted = progress.generated;
            if answer.leads
                && let Some(cached) = progress.cached
            {
                answer.leads = false;
                self.record.add_cached(cached);
            }
        }
        if let Some(selection) = &mut self.selection {
            match &event {
                SpokenEvent::Piece { text, tokens } => selection.grow(index, text, tokens.clone()),
                SpokenEvent::Ended(reason) => selection.end(index, *reason, mean_logprob),
                // Only completions are chosen from, and those think and call nothing.
                SpokenEvent::Thought(_) | SpokenEvent::Call { .. } => {}
            }
        }
        if let SpokenEvent::Ended(reason) = event {
            answer.text = None;
            self.record.answer_ended(reason);
            return AnswerEvent::Finished {
                choice,
                reason,
                stopped_by,
            };
        }
        told(choice, event)
    }
}

fn told(choice: u32, event: SpokenEvent) -> AnswerEvent {
    match event {
        SpokenEvent::Piece { text, tokens } => AnswerEvent::Piece {
            choice,
            text,
            tokens,
        },
        SpokenEvent::Thought(text) => AnswerEvent::Thought { choice, text },
        SpokenEvent::Call { index, part } => AnswerEvent::Call {
            choice,
            index,
            part,
        },
        SpokenEvent::Ended(reason) => AnswerEvent::Finished {
            choice,
            reason,
            stopped_by: None,
        },
    }
}

impl Stream for AnswerStream {
    type Item = AnswerEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AnswerEvent>> {
        let stream = self.get_mut();
        loop {
            if let Some(event) = stream.chosen.pop_front() {
                return Poll::Ready(Some(event));
            }
            if stream.done {
                return Poll::Ready(None);
            }
            let event = ready!(stream.poll_answers(context));
            if stream.done {
                // It comes behind what was chosen in the end.
                stream.chosen.push_back(event);
            } else if stream.selection.is_none() {
                stream.record.hear(|it| it.hear(&event));
                return Poll::Ready(Some(event));
            }
        }
    }
}
