//! What `POST /api/chat` and `POST /api/generate` answer: an object, or one a line as the answer grows.

use std::time::{Instant, SystemTime};

use sconce_domain::{FinishReason, ToolCall};
use sconce_pipeline::{AnswerEvent, AnswerProgress};
use serde_json::{Map, Value, json};

use crate::dialect::{Dialect, Frame, Framing, Gathered, OpenCall};
use crate::error::HttpError;
use crate::error_body::OllamaError;
use crate::wire::functions::arguments_of;

/// Where an answer's text stands in its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In a message.
    Chat,
    /// Beside the rest.
    Generate,
}

/// Writes answers.
#[derive(Debug)]
pub(super) struct OllamaDialect {
    shape: Shape,
    model: String,
    call: OpenCall,
    calls: usize,
    reason: FinishReason,
}

/// What one object says.
#[derive(Debug, Default)]
struct Said {
    text: String,
    thought: String,
    calls: Vec<Value>,
}

impl OllamaDialect {
    pub(super) fn new(shape: Shape, model: String) -> Self {
        Self {
            shape,
            model,
            call: OpenCall::default(),
            calls: 0,
            reason: FinishReason::Stop,
        }
    }

    fn object(&self, said: Said) -> Map<String, Value> {
        let mut object = head(&self.model);
        let mut place = Map::new();
        let field = match self.shape {
            Shape::Chat => {
                place.insert("role".to_owned(), "assistant".into());
                "content"
            }
            Shape::Generate => "response",
        };
        place.insert(field.to_owned(), said.text.into());
        if !said.thought.is_empty() {
            place.insert("thinking".to_owned(), said.thought.into());
        }
        if !said.calls.is_empty() {
            place.insert("tool_calls".to_owned(), said.calls.into());
        }
        match self.shape {
            Shape::Chat => {
                object.insert("message".to_owned(), Value::Object(place));
            }
            Shape::Generate => object.extend(place),
        }
        object
    }

    fn line(&self, said: Said) -> Frame {
        let mut object = self.object(said);
        object.insert("done".to_owned(), false.into());
        Frame::unnamed(Value::Object(object).to_string())
    }

    /// The object that says why the answer ended, and what it cost.
    fn last(&self, said: Said, reason: FinishReason, progress: &AnswerProgress) -> String {
        let mut object = self.object(said);
        let word = match reason {
            FinishReason::Length => "length",
            FinishReason::Stop | FinishReason::Failed(_) => "stop",
        };
        object.insert("done".to_owned(), true.into());
        object.insert("done_reason".to_owned(), word.into());
        object.extend(costs(progress));
        Value::Object(object).to_string()
    }
}

impl Dialect for OllamaDialect {
    const FRAMING: Framing = Framing::Lines;

    fn whole(&self, answers: Vec<Gathered>, progress: &AnswerProgress) -> String {
        let answer = answers.into_iter().next().unwrap_or_default();
        let reason = answer.reason.unwrap_or(FinishReason::Stop);
        let (text, thought, calls) = answer.split();
        let calls = calls.iter().enumerate();
        let said = Said {
            text,
            thought,
            calls: calls.map(|(index, it)| call(index, it)).collect(),
        };
        self.last(said, reason, progress)
    }

    fn tell(&mut self, event: AnswerEvent, progress: &AnswerProgress) -> Vec<Frame> {
        let mut said = Said::default();
        match event {
            AnswerEvent::Piece { text, .. } => said.text = text,
            AnswerEvent::Thought { text, .. } => said.thought = text,
            AnswerEvent::Call { part, .. } => {
                let whole = self.call.add(part);
                said.calls.extend(whole.map(|it| call(self.calls, &it)));
                self.calls += said.calls.len();
            }
            AnswerEvent::Finished { reason, .. } => self.reason = reason,
            AnswerEvent::Done(_) => {
                let last = self.last(said, self.reason, progress);
                return vec![Frame::unnamed(last)];
            }
        }
        let says_something =
            !said.text.is_empty() || !said.thought.is_empty() || !said.calls.is_empty();
        says_something
            .then(|| self.line(said))
            .into_iter()
            .collect()
    }

    fn fail(&mut self, error: &HttpError) -> Frame {
        Frame::unnamed(OllamaError::of(error).text())
    }
}

/// What an answer says that only loaded a model.
pub(super) fn loaded(shape: Shape, model: String) -> Value {
    let dialect = OllamaDialect::new(shape, model);
    let mut object = dialect.object(Said::default());
    object.insert("done".to_owned(), true.into());
    object.insert("done_reason".to_owned(), "load".into());
    Value::Object(object)
}

/// What every object begins with.
fn head(model: &str) -> Map<String, Value> {
    let now = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    Map::from_iter([
        ("model".to_owned(), Value::from(model)),
        ("created_at".to_owned(), now.into()),
    ])
}

/// Tokens and nanoseconds. Loading is what came before the prompt was with the engine, the wait for a turn
/// is part of the prompt's time.
fn costs(progress: &AnswerProgress) -> Map<String, Value> {
    let now = Instant::now();
    let first = progress.first_token.unwrap_or(now);
    let nanoseconds = |from: Instant, to: Instant| {
        let passed = to.saturating_duration_since(from).as_nanos();
        Value::from(u64::try_from(passed).unwrap_or(u64::MAX))
    };
    let costs = [
        ("total_duration", nanoseconds(progress.arrived, now)),
        (
            "load_duration",
            nanoseconds(progress.arrived, progress.submitted),
        ),
        ("prompt_eval_count", progress.usage.prompt.0.into()),
        (
            "prompt_eval_duration",
            nanoseconds(progress.submitted, first),
        ),
        ("eval_count", progress.usage.completion.0.into()),
        ("eval_duration", nanoseconds(first, now)),
    ];
    let costs = costs.into_iter();
    costs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn call(index: usize, call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "function": {"index": index, "name": call.name, "arguments": arguments_of(call)},
    })
}
