//! What the dialects' answers have in common, and where they differ.

use sconce_domain::{FinishReason, ToolCall};
use sconce_pipeline::{AnswerEvent, AnswerProgress, CallPart, TokenReport};

use crate::error::HttpError;

/// One answer, gathered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Gathered {
    /// In the order in which they were told, none of them empty.
    pub(crate) parts: Vec<Part>,
    calls: OpenCall,
    pub(crate) tokens: Vec<TokenReport>,
    pub(crate) reason: Option<FinishReason>,
    /// The place of the stop string that ended it.
    pub(crate) stopped_by: Option<u32>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Something said.
    Text(String),
    /// Something thought.
    Thought(String),
    /// A function to be called.
    Call(ToolCall),
}

/// A call that has not ended; if it never does, it is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OpenCall(Option<ToolCall>);

/// How the pieces of a stream are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events; a comment shows that a quiet stream is alive.
    Events,
    /// Server-sent events; a quiet stream sends this event with this data.
    EventsWithPing {
        /// The event's name.
        event: &'static str,
        /// Its data.
        data: &'static str,
    },
    /// A JSON object a line.
    Lines,
}

/// What a stream sends at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The event's name, where events have names.
    pub(crate) event: Option<&'static str>,
    /// A line of text.
    pub(crate) data: String,
}

impl Frame {
    /// Data without a name.
    pub(crate) fn unnamed(data: String) -> Self {
        Self { event: None, data }
    }
}

/// How an endpoint writes its answers.
pub(crate) trait Dialect {
    /// How its streams are told.
    const FRAMING: Framing;

    /// The object that a whole answer is.
    fn whole(&self, answers: Vec<Gathered>, progress: &AnswerProgress) -> String;

    /// What a stream sends when `event` has happened; `Done` is the last, and no answer fails here.
    fn tell(&mut self, event: AnswerEvent, progress: &AnswerProgress) -> Vec<Frame>;

    /// The last that a stream sends when it breaks off.
    fn fail(&mut self, error: &HttpError) -> Frame;
}

impl OpenCall {
    /// Takes the next part; the call, once it is complete.
    pub(crate) fn add(&mut self, part: CallPart) -> Option<ToolCall> {
        match part {
            CallPart::Begins { id, name } => {
                let arguments = String::new();
                self.0 = Some(ToolCall {
                    id,
                    name,
                    arguments,
                });
            }
            CallPart::Arguments(text) => {
                if let Some(call) = &mut self.0 {
                    call.arguments.push_str(&text);
                }
            }
            CallPart::Ends => return self.0.take(),
            CallPart::Breaks => self.0 = None,
        }
        None
    }
}

impl Gathered {
    pub(crate) fn say(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(said)) => said.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    pub(crate) fn think(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Thought(thought)) => thought.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Thought(text.to_owned())),
        }
    }

    pub(crate) fn add(&mut self, part: CallPart) {
        self.parts.extend(self.calls.add(part).map(Part::Call));
    }

    /// All that was said, all that was thought, and the calls.
    pub(crate) fn split(self) -> (String, String, Vec<ToolCall>) {
        let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
        for part in self.parts {
            match part {
                Part::Text(it) => text.push_str(&it),
                Part::Thought(it) => thought.push_str(&it),
                Part::Call(it) => calls.push(it),
            }
        }
        (text, thought, calls)
    }
}
