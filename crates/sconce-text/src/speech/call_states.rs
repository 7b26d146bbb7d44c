//! The states of a parser in calls, between them and behind them.

use super::call_reader::{CallReader, Heard};
use super::format::{Body, Section, Spacing};
use super::parser::{Calls, Otherwise, Reach, SpeechParser, Spoken, State, Step};

impl SpeechParser {
    /// What stands between calls is nothing.
    pub(super) fn section(&mut self, is_fresh: bool, reach: Reach) -> Step {
        self.calls = Calls::InSection;
        let (begin, ends) = match self.format.section {
            Section::Marked { begin, ends } => (begin, ends),
            Section::None | Section::List => ("{", ["]"].as_slice()),
        };
        let marks: Vec<&str> = ends.iter().copied().chain([begin]).collect();
        let text = self.held.trim_start();
        let found = if is_fresh && text.starts_with('{') {
            Some((self.held.len() - text.len(), begin))
        } else {
            let find = |mark: &&'static str| self.held.find(*mark).map(|place| (place, *mark));
            marks.iter().filter_map(find).min()
        };
        let Some((place, mark)) = found else {
            let certain = self.certain_bytes(&marks, Spacing::OfTheText, reach);
            let noise: String = self.held.drain(..certain).collect();
            let is_fresh = is_fresh && noise.trim().is_empty();
            self.state = State::Section { is_fresh };
            return Step::Waits;
        };
        self.held.drain(..place);
        if mark == begin {
            self.state = State::Call {
                reader: Box::new(CallReader::new(self.format.body, String::new())),
                otherwise: Otherwise::Content,
            };
        } else {
            self.calls = Calls::Alone;
            self.pass_mark(mark.len(), State::Opening);
        }
        Step::On
    }

    pub(super) fn call(&mut self, reach: Reach) -> Step {
        let State::Call { reader, .. } = &mut self.state else {
            return Step::On;
        };
        let text = self.held.trim_start();
        let may_be_list = self.format.section == Section::List && self.calls == Calls::Alone;
        if may_be_list && !reader.has_begun() && text.starts_with('[') {
            self.held = text[1..].to_owned();
            self.state = State::Section { is_fresh: true };
            return Step::On;
        }
        match reader.read(&mut self.held, &self.functions, reach, &mut self.spoken) {
            Heard::Waits if reach == Reach::Open => return Step::Waits,
            Heard::Ended => {
                self.spoken.push(Spoken::CallEnds);
                self.state = State::Closing;
            }
            Heard::Waits | Heard::Broke => self.break_call(reach),
        }
        Step::On
    }

    /// What was read of a call is text, unless the model was cut off in it.
    pub(super) fn break_call(&mut self, reach: Reach) {
        let state = std::mem::replace(&mut self.state, State::Content);
        let State::Call { reader, otherwise } = state else {
            return;
        };
        if reader.has_begun() {
            self.spoken.push(Spoken::CallBreaks);
        }
        if reach == Reach::Cut {
            self.held.clear();
            return;
        }
        let mut raw = reader.raw;
        if raw.trim().is_empty()
            && let Some(letter) = self.held.chars().next()
        {
            // What begins here was seen to be no call, and is not looked at as one again.
            raw.extend(self.held.drain(..letter.len_utf8()));
        }
        match otherwise {
            Otherwise::Content if self.calls == Calls::InSection => {
                if raw.len() > 1 {
                    self.emit(Spoken::Content(raw));
                }
                self.state = State::Section { is_fresh: false };
            }
            Otherwise::Content => self.emit(Spoken::Content(raw)),
            Otherwise::Thought(end) => {
                self.emit(Spoken::Thought(raw));
                self.state = State::Thought(end);
            }
        }
    }

    pub(super) fn close(&mut self, reach: Reach) -> Step {
        let text = self.held.trim_start();
        let space = self.held.len() - text.len();
        let closings = self.format.closings;
        if let Some(closing) = closings.iter().find(|it| text.starts_with(**it)) {
            self.held.drain(..space + closing.len());
            return Step::On;
        }
        if closings.iter().any(|it| it.starts_with(text)) && reach == Reach::Open {
            return Step::Waits;
        }
        let next = match self.format.body {
            _ if self.calls == Calls::InSection => State::Section { is_fresh: true },
            Body::Channels => State::Header,
            _ => State::Opening,
        };
        self.pass_mark(0, next);
        Step::On
    }
}
