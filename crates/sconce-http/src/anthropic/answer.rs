//! What `POST /v1/messages` answers: a message of blocks, whole or told block by block.
//!
//! A call is told once it is complete: what a model began and did not end well is no call, and a block that
//! has begun cannot be taken back.

use sconce_domain::{FinishReason, ToolCall, Usage};
use sconce_pipeline::{AnswerEvent, AnswerOptions, AnswerProgress};
use serde::Serialize;
use serde_json::{Value, json};

use crate::dialect::{Dialect, Frame, Framing, Gathered, OpenCall, Part};
use crate::error::HttpError;
use crate::error_body::AnthropicError;
use crate::wire::functions::arguments_of;

/// What of a request its answer tells again.
#[derive(Debug, Default)]
pub(super) struct MessageFacts {
    stop: Vec<String>,
    tokens_max: u32,
}

/// Writes messages.
#[derive(Debug)]
pub(super) struct MessageDialect {
    id: String,
    model: String,
    facts: MessageFacts,
    told: Told,
    /// The block that is open, and how many came before it.
    open: Option<OpenBlock>,
    blocks: u32,
    call: OpenCall,
    ending: Option<(FinishReason, Option<u32>)>,
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Begun,
    /// A call at least.
    Calls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenBlock {
    Text,
    Thought,
}

#[derive(Debug, Serialize)]
struct UsageObject {
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
}

impl From<Usage> for UsageObject {
    /// Unlike OpenAI's, the tokens that were found in the cache are no part of `input_tokens`.
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt.0.saturating_sub(usage.cached.0),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached.0,
            output_tokens: usage.completion.0,
        }
    }
}

impl MessageFacts {
    pub(super) fn of(options: &AnswerOptions) -> Self {
        Self {
            stop: options.stop.clone(),
            tokens_max: options.generated_max.map_or(u32::MAX, |it| it.0),
        }
    }
}

impl MessageDialect {
    pub(super) fn new(id: u64, model: &str, facts: MessageFacts) -> Self {
        Self {
            id: format!("msg_{id:016x}"),
            model: model.to_owned(),
            facts,
            told: Told::Nothing,
            open: None,
            blocks: 0,
            call: OpenCall::default(),
            ending: None,
        }
    }

    fn message(&self, content: &[Value], ending: &Value, usage: Usage) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": ending["stop_reason"],
            "stop_sequence": ending["stop_sequence"],
            "usage": UsageObject::from(usage),
        })
    }

    /// Why an answer ended, in Anthropic's words.
    fn ending(
        &self,
        (reason, stopped_by): (FinishReason, Option<u32>),
        has_calls: bool,
        generated: u32,
    ) -> Value {
        let stop = stopped_by.and_then(|it| self.facts.stop.get(it as usize));
        let word = match reason {
            FinishReason::Stop if has_calls => "tool_use",
            FinishReason::Stop if stop.is_some() => "stop_sequence",
            FinishReason::Stop => "end_turn",
            FinishReason::Length if generated < self.facts.tokens_max => {
                "model_context_window_exceeded"
            }
            FinishReason::Length => "max_tokens",
            // A failed answer is told as an error.
            FinishReason::Failed(_) => return json!({"stop_reason": null, "stop_sequence": null}),
        };
        let stop = stop.filter(|_| word == "stop_sequence");
        json!({"stop_reason": word, "stop_sequence": stop})
    }

    /// Opens a block of `kind`, unless one is open.
    fn open(&mut self, kind: OpenBlock, frames: &mut Vec<Frame>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(frames);
        let block = match kind {
            OpenBlock::Text => json!({"type": "text", "text": ""}),
            OpenBlock::Thought => json!({"type": "thinking", "thinking": "", "signature": ""}),
        };
        frames.push(self.begun(&block));
        self.open = Some(kind);
    }

    fn close(&mut self, frames: &mut Vec<Frame>) {
        if self.open.take().is_some() {
            frames.push(self.stopped());
        }
    }

    fn begun(&self, block: &Value) -> Frame {
        frame(
            "content_block_start",
            json!({"index": self.blocks, "content_block": block}),
        )
    }

    fn grown(&self, delta: &Value) -> Frame {
        frame(
            "content_block_delta",
            json!({"index": self.blocks, "delta": delta}),
        )
    }

    fn stopped(&mut self) -> Frame {
        let index = self.blocks;
        self.blocks += 1;
        frame("content_block_stop", json!({"index": index}))
    }

    fn tell_call(&mut self, call: ToolCall, frames: &mut Vec<Frame>) {
        self.close(frames);
        self.told = Told::Calls;
        let ToolCall {
            id,
            name,
            arguments,
        } = call;
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        frames.push(self.begun(&block));
        let delta = json!({"type": "input_json_delta", "partial_json": arguments});
        frames.push(self.grown(&delta));
        frames.push(self.stopped());
    }

    fn tell_end(&mut self, usage: Usage, frames: &mut Vec<Frame>) {
        self.close(frames);
        let ending = self.ending.unwrap_or((FinishReason::Stop, None));
        let ending = self.ending(ending, self.told == Told::Calls, usage.completion.0);
        let end = json!({"delta": ending, "usage": UsageObject::from(usage)});
        frames.push(frame("message_delta", end));
        frames.push(frame("message_stop", json!({})));
    }
}

impl Dialect for MessageDialect {
    const FRAMING: Framing = Framing::EventsWithPing {
        event: "ping",
        data: r#"{"type":"ping"}"#,
    };

    fn whole(&self, answers: Vec<Gathered>, progress: &AnswerProgress) -> String {
        let answer = answers.into_iter().next().unwrap_or_default();
        let has_calls = answer.parts.iter().any(|it| matches!(it, Part::Call(_)));
        let reason = answer.reason.unwrap_or(FinishReason::Stop);
        let generated = progress.usage.completion.0;
        let ending = self.ending((reason, answer.stopped_by), has_calls, generated);
        let content: Vec<Value> = answer.parts.into_iter().map(block).collect();
        self.message(&content, &ending, progress.usage).to_string()
    }

    fn tell(&mut self, event: AnswerEvent, progress: &AnswerProgress) -> Vec<Frame> {
        let mut frames = Vec::new();
        if self.told == Told::Nothing {
            self.told = Told::Begun;
            let usage = Usage {
                completion: sconce_domain::TokenCount(0),
                ..progress.usage
            };
            let message = self.message(&[], &json!({}), usage);
            frames.push(frame("message_start", json!({"message": message})));
            frames.push(frame("ping", json!({})));
        }
        match event {
            AnswerEvent::Piece { text, .. } if text.is_empty() => {}
            AnswerEvent::Piece { text, .. } => {
                self.open(OpenBlock::Text, &mut frames);
                frames.push(self.grown(&json!({"type": "text_delta", "text": text})));
            }
            AnswerEvent::Thought { text, .. } => {
                self.open(OpenBlock::Thought, &mut frames);
                frames.push(self.grown(&json!({"type": "thinking_delta", "thinking": text})));
            }
            AnswerEvent::Call { part, .. } => {
                if let Some(call) = self.call.add(part) {
                    self.tell_call(call, &mut frames);
                }
            }
            AnswerEvent::Finished {
                reason, stopped_by, ..
            } => self.ending = Some((reason, stopped_by)),
            AnswerEvent::Done(usage) => self.tell_end(usage, &mut frames),
        }
        frames
    }

    fn fail(&mut self, error: &HttpError) -> Frame {
        Frame {
            event: Some("error"),
            data: AnthropicError::of(error).text(),
        }
    }
}

/// An event whose data says its own name.
fn frame(event: &'static str, fields: Value) -> Frame {
    let mut data = json!({"type": event});
    if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields) {
        data.extend(fields);
    }
    Frame {
        event: Some(event),
        data: data.to_string(),
    }
}

fn block(part: Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Thought(text) => json!({"type": "thinking", "thinking": text, "signature": ""}),
        Part::Call(call) => {
            let input = arguments_of(&call);
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
        }
    }
}
