//! Sends the answers to one request: as one object, or as a stream.
//!
//! An answer that fails after its stream began can change no status any more: the stream says so in its
//! dialect's words, and closes. So does a stream whose request is refused after it has waited for so long that
//! its client had to be shown a sign of life.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sconce_domain::{Failure, FinishReason};
use sconce_pipeline::{AnswerEvent, AnswerStream, Arrival, Refusal};

use crate::dialect::{Dialect, Frame, Framing, Gathered};
use crate::error::HttpError;
use crate::routes::HttpState;
use crate::wire::parsed::{Delivery, ParsedRequest};

/// A request that waits for its turn.
pub(crate) struct Waiting {
    answers: BoxFuture<'static, Result<AnswerStream, Refusal>>,
    pub(crate) delivery: Delivery,
    /// How often a quiet stream shows that it is alive.
    keep_alive: Duration,
}

impl Waiting {
    /// Nothing happens before it is delivered.
    pub(crate) fn new(state: &HttpState, arrival: Arrival, parsed: ParsedRequest) -> Self {
        let ParsedRequest { request, delivery } = parsed;
        let pipeline = Arc::clone(&state.pipeline);
        let answers = async move { pipeline.answer_arrived(arrival, request).await };
        Self {
            answers: Box::pin(answers),
            delivery,
            keep_alive: Duration::from_secs(state.limits.keep_alive_s),
        }
    }
}

/// Sends the answers that are waited for in the way the client asked for. `dialect` is made of the name of
/// the model that answers, which is empty if none does.
///
/// A stream's head is sent once its answer has begun, so that a refusal has a status; or, whatever comes
/// then, when the client has waited as long as a quiet stream may be. Lines have no way to show that they are
/// alive, so they wait.
pub(crate) async fn deliver<D, F>(waiting: Waiting, dialect: F) -> Result<Response, HttpError>
where
    D: Dialect + Send + 'static,
    F: FnOnce(&str) -> D + Send + 'static,
{
    let Waiting {
        mut answers,
        delivery,
        keep_alive,
    } = waiting;
    if delivery == Delivery::Whole {
        let answers = answers.await?;
        let dialect = dialect(answers.model());
        return whole(answers, &dialect).await;
    }
    let patience = match D::FRAMING {
        Framing::Lines => Duration::MAX,
        Framing::Events | Framing::EventsWithPing { .. } => keep_alive,
    };
    match tokio::time::timeout(patience, &mut answers).await {
        Ok(begun) => {
            let answers = begun?;
            let dialect = dialect(answers.model());
            let writer = ready(FrameWriter::new(answers, dialect));
            Ok(streamed(writer, keep_alive))
        }
        Err(_) => {
            let writer = answers.map(|begun| match begun {
                Ok(answers) => {
                    let dialect = dialect(answers.model());
                    FrameWriter::new(answers, dialect)
                }
                Err(refusal) => FrameWriter::refused(dialect(""), refusal),
            });
            Ok(streamed(writer, keep_alive))
        }
    }
}

/// Gathers all answers. If the client leaves, the handler is dropped here, and with it `answers`.
async fn whole(mut answers: AnswerStream, dialect: &impl Dialect) -> Result<Response, HttpError> {
    let mut gathered: Vec<Gathered> = Vec::new();
    while let Some(event) = answers.next().await {
        match event {
            AnswerEvent::Piece {
                choice,
                text,
                tokens,
            } => {
                let answer = slot(&mut gathered, choice);
                answer.say(&text);
                answer.tokens.extend(tokens);
            }
            AnswerEvent::Thought { choice, text } => {
                slot(&mut gathered, choice).think(&text);
            }
            AnswerEvent::Call { choice, part, .. } => slot(&mut gathered, choice).add(part),
            AnswerEvent::Finished {
                reason: FinishReason::Failed(failure),
                ..
            } => {
                answers.break_off().await;
                return Err(failure.into());
            }
            AnswerEvent::Finished {
                choice,
                reason,
                stopped_by,
            } => {
                let answer = slot(&mut gathered, choice);
                answer.reason = Some(reason);
                answer.stopped_by = stopped_by;
            }
            AnswerEvent::Done(_) => {}
        }
    }
    let json = HeaderValue::from_static("application/json");
    let body = Body::from(dialect.whole(gathered, &answers.progress()));
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

fn slot(gathered: &mut Vec<Gathered>, choice: u32) -> &mut Gathered {
    let index = choice as usize;
    if gathered.len() <= index {
        gathered.resize_with(index + 1, Gathered::default);
    }
    &mut gathered[index]
}

fn streamed<D: Dialect + Send + 'static>(
    writer: impl Future<Output = FrameWriter<D>> + Send + 'static,
    keep_alive: Duration,
) -> Response {
    // Proxies of the nginx family hold events back unless they are told not to.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let frames = stream::once(writer).flat_map(frames_of);
    let keep_alive = KeepAlive::new().interval(keep_alive);
    let keep_alive = match D::FRAMING {
        Framing::Events => keep_alive,
        Framing::EventsWithPing { event, data } => {
            keep_alive.event(Event::default().event(event).data(data))
        }
        Framing::Lines => return ([unbuffered], lines(frames)).into_response(),
    };
    let events = frames.map(|it| {
        let event = Event::default();
        let event = match it.event {
            Some(name) => event.event(name),
            None => event,
        };
        Ok::<_, Infallible>(event.data(it.data))
    });
    let sse = Sse::new(events).keep_alive(keep_alive);
    ([unbuffered], sse).into_response()
}

fn lines(frames: impl Stream<Item = Frame> + Send + 'static) -> Response {
    let kind = HeaderValue::from_static("application/x-ndjson");
    let lines = frames.map(|it| Ok::<_, Infallible>(Bytes::from(it.data + "\n")));
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response()
}

/// The frames, one after the other. Dropping it drops the answers.
fn frames_of<D: Dialect + Send + 'static>(
    writer: FrameWriter<D>,
) -> impl Stream<Item = Frame> + Send {
    stream::unfold(writer, |mut writer| async move {
        let frame = writer.next().await?;
        Some((frame, writer))
    })
}

/// Turns answer events into frames.
struct FrameWriter<D> {
    /// Gone once there is nothing more to say; what has not ended is cancelled then.
    answers: Option<AnswerStream>,
    dialect: D,
    ready: VecDeque<Frame>,
}

impl<D: Dialect> FrameWriter<D> {
    fn new(answers: AnswerStream, dialect: D) -> Self {
        Self {
            answers: Some(answers),
            dialect,
            ready: VecDeque::new(),
        }
    }

    /// What is told of a request that had to wait and is answered by nobody.
    fn refused(mut dialect: D, refusal: Refusal) -> Self {
        let refused = dialect.fail(&refusal.into());
        Self {
            answers: None,
            dialect,
            ready: VecDeque::from([refused]),
        }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let answers = self.answers.as_mut()?;
            let event = answers.next().await;
            let progress = answers.progress();
            match event {
                Some(AnswerEvent::Finished {
                    reason: FinishReason::Failed(failure),
                    ..
                }) => self.fail(failure).await,
                Some(event) => {
                    let is_last = matches!(event, AnswerEvent::Done(_));
                    self.ready.extend(self.dialect.tell(event, &progress));
                    if is_last {
                        self.answers = None;
                    }
                }
                None => self.answers = None,
            }
        }
    }

    /// Ends the stream with an error, once the record says so.
    async fn fail(&mut self, failure: Failure) {
        if let Some(answers) = self.answers.take() {
            answers.break_off().await;
        }
        self.ready.push_back(self.dialect.fail(&failure.into()));
    }
}
