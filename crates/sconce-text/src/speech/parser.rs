//! Splits an answer, as it comes, into what is said, what is thought and what is called.
//!
//! Whatever is not certain yet is held back, so the parts are the same however the text was cut.
//! A call comes out when it is whole: text that begins like a call and is none is said after all.
//! Space around markers belongs to them.

use super::SpeechFormat;
use super::format::{THOUGHTS_BEGIN, THOUGHTS_END};
use super::json_text::{ValueEnd, ValueState};
use super::written::{WrittenCall, calls};

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// It is said.
    Content(String),
    /// It is thought, and not said.
    Thought(String),
    /// A function is to be called.
    Call {
        /// The function.
        name: String,
        /// Its arguments: a JSON object, as the model wrote it.
        arguments: String,
    },
}

/// What to listen for in an answer.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// The functions that may be called; without any, what looks like a call is text.
    pub functions: Vec<String>,
    /// Whether thoughts are told from what is said.
    pub thoughts: Thoughts,
}

/// Whether an answer may begin with thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Thoughts {
    /// No: whatever looks like them is text.
    #[default]
    None,
    /// If it begins with their marker.
    Marked,
    /// It does: the prompt ended with their marker.
    Begun,
}

/// Reads one answer.
#[derive(Debug)]
pub struct SpeechParser {
    format: &'static SpeechFormat,
    functions: Vec<String>,
    thoughts: Thoughts,
    state: State,
    /// Text that nothing has come out of yet.
    held: String,
    /// Whether space at the beginning of `held` belongs to a marker.
    skips_space: bool,
    spoken: Vec<Spoken>,
}

#[derive(Debug)]
enum State {
    /// Nothing but space has been read.
    Beginning,
    Thought,
    /// Something may begin here that may not begin in the middle of text.
    Opening,
    Content,
    /// Behind `begun`, the text that a call began with.
    Call {
        begun: String,
        end: ValueEnd,
    },
    /// Behind the JSON of a call.
    Closing,
}

/// Whether a state got anywhere.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    On,
    /// More text is needed.
    Waits,
}

impl SpeechParser {
    /// A parser of an answer in `format`.
    #[must_use]
    pub fn new(format: &'static SpeechFormat, listening: Listening) -> Self {
        let Listening {
            functions,
            thoughts,
        } = listening;
        Self {
            format,
            functions,
            thoughts,
            state: match thoughts {
                Thoughts::Begun => State::Thought,
                Thoughts::None | Thoughts::Marked => State::Beginning,
            },
            held: String::new(),
            skips_space: thoughts == Thoughts::Begun,
            spoken: Vec::new(),
        }
    }

    /// Reads the next piece of text, and gives what has become certain.
    #[must_use = "each part is given out once"]
    pub fn push(&mut self, piece: &str) -> Vec<Spoken> {
        self.held.push_str(piece);
        self.read(false)
    }

    /// Gives what was held back, now that nothing follows it.
    #[must_use = "each part is given out once"]
    pub fn finish(&mut self) -> Vec<Spoken> {
        self.read(true)
    }

    fn read(&mut self, at_end: bool) -> Vec<Spoken> {
        while self.skip_space() && self.step(at_end) == Step::On {}
        std::mem::take(&mut self.spoken)
    }

    /// Whether there is anything to read.
    fn skip_space(&mut self) -> bool {
        if self.skips_space {
            let space = self.held.len() - self.held.trim_start().len();
            self.held.drain(..space);
            self.skips_space = self.held.is_empty();
        }
        !self.held.is_empty()
    }

    fn step(&mut self, at_end: bool) -> Step {
        match &self.state {
            State::Beginning => self.begin(at_end),
            State::Thought => self.think(at_end),
            State::Opening => self.open(),
            State::Content => self.say(at_end),
            State::Call { .. } => self.call(at_end),
            State::Closing => self.close(at_end),
        }
    }

    fn begin(&mut self, at_end: bool) -> Step {
        let text = self.held.trim_start();
        let space = self.held.len() - text.len();
        if self.thoughts == Thoughts::Marked {
            if text.starts_with(THOUGHTS_BEGIN) {
                self.pass(space + THOUGHTS_BEGIN.len(), State::Thought);
                return Step::On;
            }
            if THOUGHTS_BEGIN.starts_with(text) && !at_end {
                return Step::Waits;
            }
        }
        if text.is_empty() && !at_end {
            return Step::Waits;
        }
        self.state = State::Opening;
        Step::On
    }

    fn think(&mut self, at_end: bool) -> Step {
        if let Some(place) = self.held.find(THOUGHTS_END) {
            let thought = self.held[..place].trim_end().to_owned();
            self.emit(Spoken::Thought(thought));
            self.pass(place + THOUGHTS_END.len(), State::Opening);
            return Step::On;
        }
        let certain = if at_end {
            self.held.len()
        } else {
            certain_bytes(&self.held, THOUGHTS_END)
        };
        let thought: String = self.held.drain(..certain).collect();
        self.emit(Spoken::Thought(thought));
        Step::Waits
    }

    /// Where calls have no marker, one can begin here only.
    fn open(&mut self) -> Step {
        let is_bare = self.format.opening.is_none() && !self.functions.is_empty();
        let space = self.held.len() - self.held.trim_start().len();
        self.state = if is_bare && self.held[space..].starts_with('{') {
            State::Call {
                begun: self.held.drain(..space).collect(),
                end: ValueEnd::default(),
            }
        } else {
            State::Content
        };
        Step::On
    }

    fn say(&mut self, at_end: bool) -> Step {
        let opening = self.format.opening.filter(|_| !self.functions.is_empty());
        if let Some(opening) = opening
            && let Some(place) = self.held.find(opening)
        {
            let said = self.held[..place].trim_end().len();
            let content: String = self.held.drain(..said).collect();
            self.emit(Spoken::Content(content));
            let begun = self.held.drain(..place - said + opening.len()).collect();
            let end = ValueEnd::default();
            self.state = State::Call { begun, end };
            return Step::On;
        }
        let certain = match opening {
            Some(opening) if !at_end => certain_bytes(&self.held, opening),
            _ => self.held.len(),
        };
        let content: String = self.held.drain(..certain).collect();
        self.emit(Spoken::Content(content));
        Step::Waits
    }

    fn call(&mut self, at_end: bool) -> Step {
        let State::Call { begun, end } = &mut self.state else {
            return Step::On;
        };
        let written_bytes = match end.look(&self.held) {
            ValueState::Open if !at_end => return Step::Waits,
            ValueState::Open | ValueState::NotOne => 0,
            ValueState::Ended(bytes) => bytes,
        };
        let begun = std::mem::take(begun);
        match calls(&self.held[..written_bytes]).filter(|it| self.are_calls(it)) {
            Some(calls) => {
                for WrittenCall { name, arguments } in calls {
                    self.spoken.push(Spoken::Call { name, arguments });
                }
                self.pass(written_bytes, State::Closing);
            }
            None => {
                self.emit(Spoken::Content(begun));
                let written: String = self.held.drain(..written_bytes).collect();
                self.emit(Spoken::Content(written));
                self.state = State::Content;
            }
        }
        Step::On
    }

    /// Without a marker around it, JSON is a call only if it names a function that there is.
    fn are_calls(&self, calls: &[WrittenCall]) -> bool {
        let is_marked = self.format.opening.is_some();
        !calls.is_empty()
            && calls
                .iter()
                .all(|it| is_marked || self.functions.contains(&it.name))
    }

    fn close(&mut self, at_end: bool) -> Step {
        let closing = self.format.closing.unwrap_or(";");
        if self.held.starts_with(closing) {
            self.pass(closing.len(), State::Opening);
            return Step::On;
        }
        if closing.starts_with(&self.held) && !at_end {
            return Step::Waits;
        }
        self.state = State::Opening;
        Step::On
    }

    /// Leaves `bytes` behind, and the space that follows them.
    fn pass(&mut self, bytes: usize, state: State) {
        self.held.drain(..bytes);
        self.skips_space = true;
        self.state = state;
    }

    /// Gives out a part, joined to the one before if that is of its kind.
    fn emit(&mut self, part: Spoken) {
        match (self.spoken.last_mut(), part) {
            (_, Spoken::Content(text) | Spoken::Thought(text)) if text.is_empty() => {}
            (Some(Spoken::Content(before)), Spoken::Content(text))
            | (Some(Spoken::Thought(before)), Spoken::Thought(text)) => before.push_str(&text),
            (_, part) => self.spoken.push(part),
        }
    }
}

/// Bytes of `text` before the space and the marker that it may end with in part.
fn certain_bytes(text: &str, marker: &str) -> usize {
    let begins = |it: &usize| text.as_bytes().ends_with(&marker.as_bytes()[..*it]);
    let begun = (1..marker.len()).rev().find(begins).unwrap_or(0);
    text[..text.len() - begun].trim_end().len()
}
