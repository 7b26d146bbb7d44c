//! Splits an answer, as it comes, into what is said, what is thought and what is called.
//!
//! Whatever is not certain yet is held back, so the parts are the same however the text was cut. A
//! call is told as it comes; one that breaks off is called off, and its text is said after all.

use sconce_domain::Tool;

use super::SpeechFormat;
use super::call_reader::CallReader;
use super::channels;
use super::format::{Body, Section, Spacing};
use super::functions::Functions;
use super::named::begun_bytes;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// It is said.
    Content(String),
    /// It is thought, and not said.
    Thought(String),
    /// A function is to be called, as far as can be seen.
    CallBegins {
        /// The function.
        name: String,
    },
    /// The next piece of the call's arguments. All of them are a JSON object, as the model wrote it
    /// if it writes JSON.
    Arguments(String),
    /// The call is complete.
    CallEnds,
    /// The call that began is none.
    CallBreaks,
}

/// How far the text of an answer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// More of it comes.
    Open,
    /// The model was cut off: a call that it was writing is nothing.
    Cut,
    /// The model said all it wanted to: a call that is not complete is text.
    Whole,
}

/// What to listen for in an answer.
#[derive(Debug, Clone, Default)]
pub struct Listening {
    /// The functions that may be called; without any, what looks like a call is text.
    pub functions: Vec<Tool>,
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
    pub(super) format: &'static SpeechFormat,
    pub(super) functions: Functions,
    thoughts: Thoughts,
    pub(super) state: State,
    /// Text that nothing has come out of yet.
    pub(super) held: String,
    /// Whether space at the beginning of `held` belongs to a mark.
    pub(super) skips_space: bool,
    /// Where calls stand that are read now.
    pub(super) calls: Calls,
    pub(super) spoken: Vec<Spoken>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Nothing but space has been read.
    Beginning,
    /// In thoughts that end with this mark.
    Thought(&'static str),
    /// Something may begin here that may not begin in the middle of text.
    Opening,
    Content,
    /// Between the calls of a section, and whether right behind what opened it or a call.
    Section {
        is_fresh: bool,
    },
    /// In a call. What is none goes on with `otherwise`.
    Call {
        reader: Box<CallReader>,
        otherwise: Otherwise,
    },
    /// Behind a call.
    Closing,
    /// In the header of a message.
    Header,
    /// In a message that nobody is to read.
    Aside,
}

/// Where calls stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// Each by itself.
    Alone,
    /// In a section that has not ended.
    InSection,
}

/// What text is that looks like a call and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    Content,
    /// Thoughts that end with this mark.
    Thought(&'static str),
}

/// What a mark in the middle of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cue {
    Call,
    /// Nothing.
    Hushed,
    /// A message ends.
    End,
}

/// Whether a state got anywhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
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
        let begun = format
            .thoughts
            .first()
            .filter(|_| thoughts == Thoughts::Begun);
        Self {
            format,
            functions: Functions::new(functions),
            thoughts,
            state: match begun {
                Some((_, end)) => State::Thought(end),
                None if format.body == Body::Channels => State::Header,
                None => State::Beginning,
            },
            held: String::new(),
            skips_space: begun.is_some(),
            calls: Calls::Alone,
            spoken: Vec::new(),
        }
    }

    /// Reads the next piece of text, and gives what has become certain.
    #[must_use = "each part is given out once"]
    pub fn push(&mut self, piece: &str) -> Vec<Spoken> {
        self.held.push_str(piece);
        self.read(Reach::Open)
    }

    /// Gives what was held back, now that nothing follows it. `reach` says why.
    #[must_use = "each part is given out once"]
    pub fn finish(&mut self, reach: Reach) -> Vec<Spoken> {
        let mut told = self.read(reach);
        while matches!(self.state, State::Call { .. }) {
            self.break_call(reach);
            told.extend(self.read(reach));
        }
        told
    }

    fn read(&mut self, reach: Reach) -> Vec<Spoken> {
        while self.skip_space() && self.step(reach) == Step::On {}
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

    fn step(&mut self, reach: Reach) -> Step {
        match self.state {
            State::Beginning => self.begin(reach),
            State::Thought(end) => self.think(end, reach),
            State::Opening => self.open(),
            State::Content => self.say(reach),
            State::Section { is_fresh } => self.section(is_fresh, reach),
            State::Call { .. } => self.call(reach),
            State::Closing => self.close(reach),
            State::Header => self.header(reach),
            State::Aside => self.aside(reach),
        }
    }

    fn begin(&mut self, reach: Reach) -> Step {
        let text = self.held.trim_start();
        let space = self.held.len() - text.len();
        if self.thoughts == Thoughts::Marked {
            let mut marks = self.format.thoughts.iter();
            if let Some((begin, end)) = marks.find(|(begin, _)| text.starts_with(begin)) {
                self.pass(space + begin.len(), State::Thought(end));
                return Step::On;
            }
            let mut marks = self.format.thoughts.iter();
            if marks.any(|(begin, _)| begin.starts_with(text)) && reach == Reach::Open {
                return Step::Waits;
            }
        }
        if text.is_empty() && reach == Reach::Open {
            return Step::Waits;
        }
        self.state = State::Opening;
        Step::On
    }

    fn think(&mut self, end: &'static str, reach: Reach) -> Step {
        let marks = self.format.thoughts;
        if self.thoughts == Thoughts::Begun {
            // Some models begin again what the prompt has begun.
            if let Some((begin, end)) = marks.iter().find(|it| self.held.starts_with(it.0)) {
                self.pass(begin.len(), State::Thought(end));
                return Step::On;
            }
            if marks.iter().any(|it| it.0.starts_with(&self.held)) && reach == Reach::Open {
                return Step::Waits;
            }
            self.thoughts = Thoughts::None;
        }
        let find = |mark: &str| self.held.find(mark);
        let place = find(end);
        if let Some(place) = self.format.hushed.iter().filter_map(|it| find(it)).min()
            && find(end).is_none_or(|end| place < end)
        {
            // What is said has begun, and nothing ended the thoughts before it.
            let thought = self.held[..place].trim_end().to_owned();
            self.emit(Spoken::Thought(thought));
            self.pass(place, State::Content);
            return Step::On;
        }
        let opening = self.opening_in_thoughts();
        if let Some((call, opening)) = opening.filter(|(it, _)| place.is_none_or(|end| *it < end)) {
            let thought = self.held[..call].trim_end().len();
            let thought: String = self.held.drain(..thought).collect();
            self.emit(Spoken::Thought(thought));
            self.begin_call(opening, Otherwise::Thought(end));
            return Step::On;
        }
        if let Some(place) = place {
            let thought = self.held[..place].trim_end().to_owned();
            self.emit(Spoken::Thought(thought));
            let next = match self.format.body {
                Body::Channels => State::Header,
                _ => State::Opening,
            };
            self.pass(place + end.len(), next);
            return Step::On;
        }
        let mut held_back: Vec<&str> = self.format.hushed.iter().copied().chain([end]).collect();
        if self.format.calls_end_thoughts {
            held_back.extend(self.format.openings);
        }
        let certain = self.certain_bytes(&held_back, Spacing::OfTheMarks, reach);
        let thought: String = self.held.drain(..certain).collect();
        self.emit(Spoken::Thought(thought));
        Step::Waits
    }

    fn opening_in_thoughts(&self) -> Option<(usize, &'static str)> {
        if !self.format.calls_end_thoughts || self.functions.is_empty() {
            return None;
        }
        let find = |it: &&'static str| self.held.find(*it).map(|place| (place, *it));
        self.format.openings.iter().filter_map(find).min()
    }

    /// Where calls have no mark, one can begin here only.
    fn open(&mut self) -> Step {
        let text = self.held.trim_start();
        let space = self.held.len() - text.len();
        let bare = self.format.bare.filter(|_| !self.functions.is_empty());
        self.state = if bare.is_some_and(|it| text.starts_with(it)) {
            let raw = self.held.drain(..space).collect();
            State::Call {
                reader: Box::new(CallReader::bare(self.format.body, raw)),
                otherwise: Otherwise::Content,
            }
        } else {
            State::Content
        };
        Step::On
    }

    /// The marks that end text, with what each means.
    fn cues(&self) -> impl Iterator<Item = (&'static str, Cue)> {
        let calls = if self.functions.is_empty() {
            &[]
        } else {
            self.format.openings
        };
        let ends = match self.format.body {
            Body::Channels => channels::ENDS,
            _ => &[],
        };
        let calls = calls.iter().map(|it| (*it, Cue::Call));
        let hushed = self.format.hushed.iter().map(|it| (*it, Cue::Hushed));
        calls
            .chain(hushed)
            .chain(ends.iter().map(|it| (*it, Cue::End)))
    }

    fn say(&mut self, reach: Reach) -> Step {
        let find = |(mark, cue): (&'static str, Cue)| Some((self.held.find(mark)?, mark, cue));
        let first = self
            .cues()
            .filter_map(find)
            .min_by_key(|(place, ..)| *place);
        let Some((place, mark, cue)) = first else {
            let marks: Vec<&str> = self.cues().map(|(mark, _)| mark).collect();
            let certain = self.certain_bytes(&marks, self.format.spacing, reach);
            let content: String = self.held.drain(..certain).collect();
            self.emit(Spoken::Content(content));
            return Step::Waits;
        };
        let said = match self.format.spacing {
            Spacing::OfTheMarks => self.held[..place].trim_end().len(),
            Spacing::OfTheText => place,
        };
        let content: String = self.held.drain(..said).collect();
        self.emit(Spoken::Content(content));
        match cue {
            Cue::Call => self.begin_call(mark, Otherwise::Content),
            Cue::Hushed => self.pass_mark(place - said + mark.len(), State::Content),
            Cue::End => self.pass_mark(place - said + mark.len(), State::Header),
        }
        Step::On
    }

    /// `held` begins with space and `opening`.
    fn begin_call(&mut self, opening: &'static str, otherwise: Otherwise) {
        let space = self.held.len() - self.held.trim_start().len();
        let body = self.format.body;
        let is_part = matches!(body, Body::Elements(it) if it.head.open == opening);
        let bytes = if is_part {
            space
        } else {
            space + opening.len()
        };
        let raw: String = self.held.drain(..bytes).collect();
        self.state = match self.format.section {
            Section::Marked { .. } => State::Section { is_fresh: true },
            Section::None | Section::List => State::Call {
                reader: Box::new(CallReader::new(body, raw)),
                otherwise,
            },
        };
    }

    /// Leaves `bytes` behind, and the space that follows them.
    fn pass(&mut self, bytes: usize, state: State) {
        self.held.drain(..bytes);
        self.skips_space = true;
        self.state = state;
    }

    /// Leaves a mark behind, and the space that follows it if that is the mark's.
    pub(super) fn pass_mark(&mut self, bytes: usize, state: State) {
        self.pass(bytes, state);
        self.skips_space = self.format.spacing == Spacing::OfTheMarks;
    }

    /// Gives out a part, joined to the one before if that is of its kind.
    pub(super) fn emit(&mut self, part: Spoken) {
        match (self.spoken.last_mut(), part) {
            (_, Spoken::Content(text) | Spoken::Thought(text)) if text.is_empty() => {}
            (Some(Spoken::Content(before)), Spoken::Content(text))
            | (Some(Spoken::Thought(before)), Spoken::Thought(text)) => before.push_str(&text),
            (_, part) => self.spoken.push(part),
        }
    }

    /// Bytes of `held` before the space and the mark that it may end with in part.
    pub(super) fn certain_bytes(&self, marks: &[&str], spacing: Spacing, reach: Reach) -> usize {
        if reach != Reach::Open {
            return self.held.len();
        }
        let begun = marks.iter().map(|it| begun_bytes(&self.held, it)).max();
        let text = &self.held[..self.held.len() - begun.unwrap_or(0)];
        match spacing {
            Spacing::OfTheMarks => text.trim_end().len(),
            Spacing::OfTheText => text.len(),
        }
    }
}
