//! Messages: each has a header that says for whom it is, and on which channel.

use super::call_reader::CallReader;
use super::format::Spacing;
use super::functions::is_name;
use super::parser::{Otherwise, Reach, SpeechParser, State, Step};

/// What begins a header that follows another message.
const START: &str = "<|start|>";
/// What ends a header.
const MESSAGE: &str = "<|message|>";
/// What ends a message.
pub(super) const ENDS: &[&str] = &["<|end|>", "<|return|>", "<|call|>"];
pub(super) const MARKS: &[&str] = &[
    START,
    MESSAGE,
    CHANNEL,
    "<|constrain|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
];
const CHANNEL: &str = "<|channel|>";
const RECIPIENT: &str = "to=";
/// What functions are called as recipients.
const FUNCTIONS: &str = "functions.";

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Thought,
    Content,
    /// The arguments of a call of this function.
    Call(String),
    /// Said to something that is no business of the client's.
    Aside,
}

/// What the header says that stands before [`MESSAGE`].
fn message(header: &str) -> Message {
    if let Some(recipient) = word_behind(header, RECIPIENT) {
        match recipient.strip_prefix(FUNCTIONS) {
            Some(function) if is_name(function) => return Message::Call(function.to_owned()),
            Some(_) => return Message::Aside,
            None if !["assistant", "user", "all"].contains(&recipient) => return Message::Aside,
            None => {}
        }
    }
    match word_behind(header, CHANNEL) {
        Some("analysis") => Message::Thought,
        _ => Message::Content,
    }
}

/// Whether `text` may be the beginning of a header, or become it.
fn may_be_header(text: &str) -> bool {
    let text = text.trim_start();
    [START, CHANNEL, RECIPIENT, MESSAGE]
        .iter()
        .any(|it| text.starts_with(it) || it.starts_with(text))
}

fn word_behind<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let behind = &text[text.rfind(mark)? + mark.len()..];
    let ends = |it: char| it.is_whitespace() || it == '<';
    behind.split(ends).next()
}

impl SpeechParser {
    pub(super) fn header(&mut self, reach: Reach) -> Step {
        if !may_be_header(&self.held) {
            self.state = State::Content;
            return Step::On;
        }
        let Some(place) = self.held.find(MESSAGE) else {
            match reach {
                Reach::Open => return Step::Waits,
                Reach::Cut => self.held.clear(),
                Reach::Whole => {}
            }
            self.state = State::Content;
            return Step::On;
        };
        let header: String = self.held.drain(..place + MESSAGE.len()).collect();
        let header = &header[header.rfind(START).unwrap_or(0)..];
        self.state = match (message(header), self.format.thoughts) {
            (Message::Thought, [(_, end), ..]) => State::Thought(end),
            (Message::Call(name), _) if !self.functions.is_empty() => State::Call {
                reader: Box::new(CallReader::of_function(name, &mut self.spoken)),
                otherwise: Otherwise::Content,
            },
            (Message::Aside, _) => State::Aside,
            _ => State::Content,
        };
        Step::On
    }

    pub(super) fn aside(&mut self, reach: Reach) -> Step {
        let find = |mark: &&str| Some((self.held.find(*mark)?, mark.len()));
        if let Some((place, bytes)) = ENDS.iter().filter_map(find).min() {
            self.pass_mark(place + bytes, State::Header);
            return Step::On;
        }
        let certain = self.certain_bytes(ENDS, Spacing::OfTheText, reach);
        self.held.drain(..certain);
        Step::Waits
    }
}
