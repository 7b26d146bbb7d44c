//! What the dialects' answers have in common, and where they differ.

use sconce_domain::{FinishReason, ToolCall};
use sconce_pipeline::{AnswerEvent, AnswerProgress, CallPart, TokenReport};

use crate::error::HttpError;

/// One answer, gathered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Gathered {
    pub(crate) text: String,
    pub(crate) thought: String,
    pub(crate) calls: Vec<ToolCall>,
    /// A call that has not ended; if it never does, it is none.
    pub(crate) open_call: Option<ToolCall>,
    pub(crate) tokens: Vec<TokenReport>,
    pub(crate) reason: Option<FinishReason>,
    /// The place of the stop string that ended it.
    pub(crate) stopped_by: Option<u32>,
}

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

impl Gathered {
    pub(crate) fn add(&mut self, part: CallPart) {
        match part {
            CallPart::Begins { id, name } => {
                let arguments = String::new();
                self.open_call = Some(ToolCall {
                    id,
                    name,
                    arguments,
                });
            }
            CallPart::Arguments(text) => {
                if let Some(call) = &mut self.open_call {
                    call.arguments.push_str(&text);
                }
            }
            CallPart::Ends => self.calls.extend(self.open_call.take()),
            CallPart::Breaks => self.open_call = None,
        }
    }
}
