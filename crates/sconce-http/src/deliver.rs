//! Sends the answers to one request: as one object, or as server-sent events.
//!
//! An answer that fails after its stream began can change no status any more: an event with an error
//! object says so, and the stream closes without `[DONE]`, as OpenAI's own clients expect.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use sconce_domain::{Failure, FinishReason, Usage};
use sconce_pipeline::{AnswerEvent, AnswerStream, CallPart};

use crate::dialect::{Dialect, Ending, Gathered, Piece};
use crate::error::HttpError;
use crate::wire::Delivery;

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
            let usage = delivery == Delivery::StreamWithUsage;
            Ok(events(EventWriter::new(answers, dialect, usage)))
        }
    }
}

/// Gathers all answers. If the client leaves, the handler is dropped here, and with it `answers`.
async fn whole(mut answers: AnswerStream, dialect: &impl Dialect) -> Result<Response, HttpError> {
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut used = Usage::default();
    while let Some(event) = answers.next().await {
        match event {
            AnswerEvent::Piece {
                choice,
                text,
                tokens,
            } => {
                let answer = slot(&mut gathered, choice);
                answer.text.push_str(&text);
                answer.tokens.extend(tokens);
            }
            AnswerEvent::Thought { choice, text } => {
                slot(&mut gathered, choice).thought.push_str(&text);
            }
            AnswerEvent::Call { choice, part, .. } => slot(&mut gathered, choice).add(part),
            AnswerEvent::Finished {
                reason: FinishReason::Failed(failure),
                ..
            } => {
                answers.break_off().await;
                return Err(failure.into());
            }
            AnswerEvent::Finished { choice, reason } => {
                slot(&mut gathered, choice).reason = Some(reason);
            }
            AnswerEvent::Done(usage) => used = usage,
        }
    }
    let json = HeaderValue::from_static("application/json");
    let body = Body::from(dialect.whole(gathered, used));
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

fn slot(gathered: &mut Vec<Gathered>, choice: u32) -> &mut Gathered {
    let index = choice as usize;
    if gathered.len() <= index {
        gathered.resize_with(index + 1, Gathered::default);
    }
    &mut gathered[index]
}

fn events<D: Dialect + Send + 'static>(writer: EventWriter<D>) -> Response {
    let stream = data_of(writer).map(|it| Ok::<_, Infallible>(Event::default().data(it)));
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies of the nginx family hold events back unless they are told not to.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    ([unbuffered], sse).into_response()
}

/// The events' data, one after the other. Dropping it drops the answers.
fn data_of<D: Dialect + Send + 'static>(
    writer: EventWriter<D>,
) -> impl Stream<Item = String> + Send {
    stream::unfold(writer, |mut writer| async move {
        let data = writer.next().await?;
        Some((data, writer))
    })
}

/// Turns answer events into the data of server-sent events.
struct EventWriter<D> {
    /// Gone once there is nothing more to say; what has not ended is cancelled then.
    answers: Option<AnswerStream>,
    dialect: D,
    tells_usage: bool,
    choices: Vec<Told>,
    ready: VecDeque<String>,
}

/// What was told of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Told {
    #[default]
    Nothing,
    Text,
    /// A call at least that is complete.
    Calls,
}

impl<D: Dialect> EventWriter<D> {
    fn new(answers: AnswerStream, dialect: D, tells_usage: bool) -> Self {
        let (choices, ready) = (Vec::new(), VecDeque::new());
        Self {
            answers: Some(answers),
            dialect,
            tells_usage,
            choices,
            ready,
        }
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            match self.answers.as_mut()?.next().await {
                Some(AnswerEvent::Finished {
                    reason: FinishReason::Failed(failure),
                    ..
                }) => self.fail(failure).await,
                Some(event) => self.write(event),
                None => self.answers = None,
            }
        }
    }

    fn write(&mut self, event: AnswerEvent) {
        match event {
            AnswerEvent::Piece {
                choice,
                text,
                tokens,
            } => {
                self.open(choice);
                let data = self.dialect.piece(Piece {
                    choice,
                    text,
                    tokens,
                });
                self.ready.push_back(data);
            }
            AnswerEvent::Thought { choice, text } => {
                self.open(choice);
                self.ready.extend(self.dialect.thought(choice, text));
            }
            AnswerEvent::Call {
                choice,
                index,
                part,
            } => {
                let told = self.open(choice);
                if part == CallPart::Ends {
                    *told = Told::Calls;
                }
                self.ready.extend(self.dialect.call(choice, index, part));
            }
            AnswerEvent::Finished { choice, reason } => {
                let has_calls = *self.open(choice) == Told::Calls;
                let ending = Ending { reason, has_calls };
                let data = self.dialect.finish(choice, ending);
                self.ready.push_back(data);
            }
            AnswerEvent::Done(usage) => {
                if self.tells_usage {
                    let data = self.dialect.usage(usage);
                    self.ready.push_back(data);
                }
                self.ready.push_back("[DONE]".to_owned());
                self.answers = None;
            }
        }
    }

    /// Ends the stream with an error, once the record says so.
    async fn fail(&mut self, failure: Failure) {
        if let Some(answers) = self.answers.take() {
            answers.break_off().await;
        }
        let error = HttpError::from(failure);
        self.ready.push_back(error_data(&error));
    }

    fn open(&mut self, choice: u32) -> &mut Told {
        let index = choice as usize;
        if self.choices.len() <= index {
            self.choices.resize(index + 1, Told::default());
        }
        let told = &mut self.choices[index];
        if *told == Told::Nothing {
            *told = Told::Text;
            self.ready.extend(self.dialect.opening(choice));
        }
        told
    }
}

fn error_data(error: &HttpError) -> String {
    serde_json::to_string(&error.body()).expect("an object of texts can be written")
}
