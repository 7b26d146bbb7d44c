//! Sends the answers to one request: as one object, or as a stream.
//!
//! An answer that fails after its stream began can change no status any more: the stream says so in its
//! dialect's words, and closes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use sconce_domain::{Failure, FinishReason};
use sconce_pipeline::{AnswerEvent, AnswerStream};

use crate::dialect::{Dialect, Frame, Framing, Gathered};
use crate::error::HttpError;
use crate::wire::parsed::Delivery;

/// How often a quiet stream shows that it is alive. Proxies give up after 30 to 60 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Sends `answers` in the way the client asked for.
pub(crate) async fn deliver<D>(
    answers: AnswerStream,
    dialect: D,
    delivery: Delivery,
) -> Result<Response, HttpError>
where
    D: Dialect + Send + 'static,
{
    match delivery {
        Delivery::Whole => whole(answers, &dialect).await,
        Delivery::Stream | Delivery::StreamWithUsage => {
            Ok(streamed(FrameWriter::new(answers, dialect)))
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

fn streamed<D: Dialect + Send + 'static>(writer: FrameWriter<D>) -> Response {
    // Proxies of the nginx family hold events back unless they are told not to.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let frames = frames_of(writer);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
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
