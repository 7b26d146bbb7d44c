//! What OpenAI's two endpoints' answers have in common, and where they differ.

use sconce_domain::{FinishReason, Usage};
use sconce_pipeline::{AnswerEvent, AnswerProgress, CallPart, TokenReport};
use serde::Serialize;

use crate::dialect::{Dialect, Frame, Framing, Gathered};
use crate::error::HttpError;
use crate::error_body::OpenAiError;
use crate::wire::parsed::Delivery;

/// What stands in every object of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) system_fingerprint: &'static str,
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

impl Ending {
    pub(crate) fn without_calls(reason: FinishReason) -> Self {
        Self {
            reason,
            has_calls: false,
        }
    }
}

/// How an endpoint of OpenAI's writes its answers.
pub(crate) trait Chunks {
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

/// OpenAI's dialect: chunks of choices, and a last line that says that all has been said.
#[derive(Debug)]
pub(crate) struct OpenAi<C> {
    chunks: C,
    tells_usage: bool,
    choices: Vec<Told>,
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

impl<C: Chunks> OpenAi<C> {
    pub(crate) fn new(chunks: C, delivery: Delivery) -> Self {
        Self {
            chunks,
            tells_usage: delivery == Delivery::StreamWithUsage,
            choices: Vec::new(),
        }
    }

    fn open(&mut self, choice: u32, told: &mut Vec<String>) -> &mut Told {
        let index = choice as usize;
        if self.choices.len() <= index {
            self.choices.resize(index + 1, Told::default());
        }
        let state = &mut self.choices[index];
        if *state == Told::Nothing {
            *state = Told::Text;
            told.extend(self.chunks.opening(choice));
        }
        state
    }

    fn data(&mut self, event: AnswerEvent) -> Vec<String> {
        let mut data = Vec::new();
        match event {
            AnswerEvent::Piece {
                choice,
                text,
                tokens,
            } => {
                self.open(choice, &mut data);
                data.push(self.chunks.piece(Piece {
                    choice,
                    text,
                    tokens,
                }));
            }
            AnswerEvent::Thought { choice, text } => {
                self.open(choice, &mut data);
                data.extend(self.chunks.thought(choice, text));
            }
            AnswerEvent::Call {
                choice,
                index,
                part,
            } => {
                let told = self.open(choice, &mut data);
                if part == CallPart::Ends {
                    *told = Told::Calls;
                }
                data.extend(self.chunks.call(choice, index, part));
            }
            AnswerEvent::Finished { choice, reason, .. } => {
                let has_calls = *self.open(choice, &mut data) == Told::Calls;
                let ending = Ending { reason, has_calls };
                data.push(self.chunks.finish(choice, ending));
            }
            AnswerEvent::Done(usage) => {
                if self.tells_usage {
                    data.push(self.chunks.usage(usage));
                }
                data.push("[DONE]".to_owned());
            }
        }
        data
    }
}

impl<C: Chunks> Dialect for OpenAi<C> {
    const FRAMING: Framing = Framing::Events;

    fn whole(&self, answers: Vec<Gathered>, progress: &AnswerProgress) -> String {
        self.chunks.whole(answers, progress.usage)
    }

    fn tell(&mut self, event: AnswerEvent, _: &AnswerProgress) -> Vec<Frame> {
        self.data(event).into_iter().map(Frame::unnamed).collect()
    }

    fn fail(&mut self, error: &HttpError) -> Frame {
        Frame::unnamed(OpenAiError::of(error).text())
    }
}
