//! What the two endpoints' answers have in common, and where they differ.

use sconce_domain::{FinishReason, ToolCall, Usage};
use sconce_pipeline::{CallPart, TokenReport};
use serde::Serialize;

/// What stands in every object of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) system_fingerprint: &'static str,
}

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
}

/// Part of one answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) choice: u32,
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenReport>,
}

/// How a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: FinishReason,
    pub(crate) has_calls: bool,
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

impl Ending {
    pub(crate) fn without_calls(reason: FinishReason) -> Self {
        Self {
            reason,
            has_calls: false,
        }
    }
}

/// How an endpoint writes its answers.
pub(crate) trait Dialect {
    /// The object that a whole answer is.
    fn whole(&self, answers: Vec<Gathered>, usage: Usage) -> String;

    /// What comes before a choice's first piece, if anything.
    fn opening(&self, choice: u32) -> Option<String>;

    /// A piece of a choice.
    fn piece(&self, piece: Piece) -> String;

    /// A piece of a choice's thoughts, where choices think.
    fn thought(&self, _choice: u32, _text: String) -> Option<String> {
        None
    }

    /// A part of the call of a choice at `index` among its calls, where choices call.
    fn call(&self, _choice: u32, _index: u32, _part: CallPart) -> Option<String> {
        None
    }

    /// A choice's end.
    fn finish(&self, choice: u32, ending: Ending) -> String;

    /// The usage, in a chunk without choices.
    fn usage(&self, usage: Usage) -> String;
}
