//! Reads one call, and tells of it as it comes: the function's name, then its arguments.

use serde_json::{Map, Value};

use super::elements::{Elements, Found, Kinds, Next, Parameter};
use super::format::Body;
use super::functions::{Functions, is_name, is_name_letter, json_of};
use super::json_text::{CallHead, ValueEnd, ValueState, call_head};
use super::named::notation_head;
use super::notation;
use super::parser::{Reach, Spoken};
use super::written::{WrittenCall, call, calls};

/// How far a call was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It goes on.
    Waits,
    Ended,
    /// It is none.
    Broke,
}

/// Reads one call.
#[derive(Debug)]
pub(super) struct CallReader {
    body: Body,
    /// Whether what stands here is only a call if there is such a function.
    is_bare: bool,
    stage: Stage,
    /// What was read, to be given back if it is no call.
    pub(super) raw: String,
    /// The function, once it was told.
    name: Option<String>,
}

#[derive(Debug)]
enum Stage {
    /// Before the arguments.
    Head,
    /// In an object of which only the whole tells anything.
    Object { end: ValueEnd, seen_bytes: usize },
    /// In the arguments, as JSON. They may be part of an object that began at a byte of `raw`.
    Arguments {
        end: ValueEnd,
        written: String,
        object: Option<usize>,
    },
    /// Behind the arguments, in the object that they are part of.
    Rest {
        end: ValueEnd,
        written: String,
        object: usize,
    },
    /// Between elements.
    Elements {
        schemas: Option<Value>,
        names: Vec<String>,
    },
    /// Before the arguments in another notation.
    Notation,
}

impl CallReader {
    /// `raw` stood before the call and is part of it.
    pub(super) fn new(body: Body, raw: String) -> Self {
        Self {
            body,
            is_bare: false,
            stage: Stage::Head,
            raw,
            name: None,
        }
    }

    /// A call that no mark stands before.
    pub(super) fn bare(body: Body, raw: String) -> Self {
        Self {
            is_bare: true,
            ..Self::new(body, raw)
        }
    }

    /// A call of this function, of which only the arguments follow.
    pub(super) fn of_function(name: String, told: &mut Vec<Spoken>) -> Self {
        let mut reader = Self::new(Body::Channels, String::new());
        reader.begin(name, told);
        reader.stage = Stage::arguments(None);
        reader
    }

    /// Reads on in `held`, takes from it what is certain, and adds that to `told`.
    pub(super) fn read(
        &mut self,
        held: &mut String,
        functions: &Functions,
        reach: Reach,
        told: &mut Vec<Spoken>,
    ) -> Heard {
        loop {
            let step = match &mut self.stage {
                Stage::Head => self.head(held, functions, told),
                Stage::Object { .. } => self.object(held, functions, told),
                Stage::Arguments { .. } => self.arguments(held, told),
                Stage::Rest { .. } => self.rest(held),
                Stage::Elements { .. } => self.element(held, reach, told),
                Stage::Notation => self.notation(held, told),
            };
            if let Some(heard) = step {
                return heard;
            }
        }
    }

    /// Whether anything was told of it.
    pub(super) fn has_begun(&self) -> bool {
        self.name.is_some()
    }

    fn take(&mut self, held: &mut String, bytes: usize) -> String {
        let taken: String = held.drain(..bytes).collect();
        self.raw.push_str(&taken);
        taken
    }

    fn begin(&mut self, name: String, told: &mut Vec<Spoken>) {
        self.name = Some(name.clone());
        told.push(Spoken::CallBegins { name });
    }

    /// Whether a function of this name may stand here.
    fn may_call(&self, name: &str, functions: &Functions) -> bool {
        !name.is_empty() && (!self.is_bare || functions.has(name))
    }

    /// Moves on to another stage, or says how it ended.
    fn head(
        &mut self,
        held: &mut String,
        functions: &Functions,
        told: &mut Vec<Spoken>,
    ) -> Option<Heard> {
        let text = held.trim_start();
        if text.is_empty() {
            return Some(Heard::Waits);
        }
        if text.starts_with('{') {
            self.body = Body::Object;
        }
        let found = match &self.body {
            Body::Object => return self.object_head(held, functions, told),
            Body::Expressions => return self.expressions(held, functions, told),
            Body::Named(named) => named.read(text),
            Body::Elements(elements) => elements.head.read(text).map(|(name, more)| {
                let name = name.to_owned();
                (name, more.trim_end().ends_with('/'))
            }),
            Body::Notation { before } => notation_head(text, before),
            Body::Channels => Found::Nothing,
        };
        let (name, is_empty, bytes) = match found {
            Found::Waits => return Some(Heard::Waits),
            Found::At((name, is_empty), bytes) if is_name(&name) => (name, is_empty, bytes),
            Found::Nothing | Found::At(..) => return Some(Heard::Broke),
        };
        let bytes = held.len() - text.len() + bytes;
        self.take(held, bytes);
        self.stage = match &self.body {
            Body::Elements(_) => Stage::Elements {
                schemas: functions.parameters_of(&name),
                names: Vec::new(),
            },
            Body::Notation { .. } => Stage::Notation,
            _ => Stage::arguments(None),
        };
        self.begin(name, told);
        if is_empty {
            told.push(Spoken::Arguments("{}".to_owned()));
            return Some(Heard::Ended);
        }
        None
    }

    fn object_head(
        &mut self,
        held: &mut String,
        functions: &Functions,
        told: &mut Vec<Spoken>,
    ) -> Option<Heard> {
        match call_head(held) {
            CallHead::Open => Some(Heard::Waits),
            CallHead::Nothing => Some(Heard::Broke),
            CallHead::Whole => {
                self.stage = Stage::Object {
                    end: ValueEnd::default(),
                    seen_bytes: 0,
                };
                None
            }
            CallHead::Arguments(name, _) if !self.may_call(&name, functions) => Some(Heard::Broke),
            CallHead::Arguments(name, at) => {
                let object = self.raw.len() + held.len() - held.trim_start().len();
                self.take(held, at);
                self.begin(name, told);
                self.stage = Stage::arguments(Some(object));
                None
            }
        }
    }

    fn object(
        &mut self,
        held: &mut String,
        functions: &Functions,
        told: &mut Vec<Spoken>,
    ) -> Option<Heard> {
        let Stage::Object { end, seen_bytes } = &mut self.stage else {
            return Some(Heard::Broke);
        };
        let seen = std::mem::replace(seen_bytes, held.len());
        let bytes = match end.look(&held[seen..]) {
            ValueState::Open => return Some(Heard::Waits),
            ValueState::NotOne => return Some(Heard::Broke),
            ValueState::Ended(bytes) => seen + bytes,
        };
        let written = calls(&held[..bytes]);
        self.take(held, bytes);
        Some(self.whole(written, functions, told))
    }

    fn expressions(
        &mut self,
        held: &mut String,
        functions: &Functions,
        told: &mut Vec<Spoken>,
    ) -> Option<Heard> {
        let begins = |it: &str| {
            let (name, _) = it.split_once('(')?;
            Some(name.trim_start_matches(['[', ' ', '\n']).to_owned())
        };
        match begins(held) {
            Some(name) if !self.may_call(&name, functions) => return Some(Heard::Broke),
            None if !held.chars().all(is_expression_head) => return Some(Heard::Broke),
            _ => {}
        }
        match notation::calls(held) {
            Found::Waits => Some(Heard::Waits),
            Found::Nothing => Some(Heard::Broke),
            Found::At(written, bytes) => {
                self.take(held, bytes);
                Some(self.whole(Some(written), functions, told))
            }
        }
    }

    /// Tells of calls that were read as a whole, but for the end of the last.
    fn whole(
        &mut self,
        written: Option<Vec<WrittenCall>>,
        functions: &Functions,
        told: &mut Vec<Spoken>,
    ) -> Heard {
        let are_calls = |it: &Vec<WrittenCall>| {
            !it.is_empty() && it.iter().all(|call| self.may_call(&call.name, functions))
        };
        let Some(written) = written.filter(are_calls) else {
            return Heard::Broke;
        };
        for WrittenCall { name, arguments } in written {
            if self.has_begun() {
                told.push(Spoken::CallEnds);
            }
            self.begin(name, told);
            told.push(Spoken::Arguments(arguments));
        }
        Heard::Ended
    }

    fn arguments(&mut self, held: &mut String, told: &mut Vec<Spoken>) -> Option<Heard> {
        let Stage::Arguments {
            end,
            written,
            object,
        } = &mut self.stage
        else {
            return Some(Heard::Broke);
        };
        if written.is_empty() {
            let text = held.trim_start();
            if !text.is_empty() && !text.starts_with('{') {
                return Some(Heard::Broke);
            }
            let space = held.len() - text.len();
            self.raw.extend(held.drain(..space));
        }
        let state = end.look(held);
        let bytes = match state {
            ValueState::Open => held.len(),
            ValueState::NotOne => return Some(Heard::Broke),
            ValueState::Ended(bytes) => bytes,
        };
        written.push_str(&held[..bytes]);
        let is_open = state == ValueState::Open;
        let is_object = is_open || serde_json::from_str::<Map<String, Value>>(written).is_ok();
        let next = object.filter(|_| !is_open).map(|object| Stage::Rest {
            end: ValueEnd::inside(),
            written: std::mem::take(written),
            object,
        });
        let piece = self.take(held, bytes);
        if !is_object {
            return Some(Heard::Broke);
        }
        tell(piece, told);
        match next {
            _ if is_open => Some(Heard::Waits),
            None => Some(Heard::Ended),
            Some(stage) => {
                self.stage = stage;
                None
            }
        }
    }

    /// The rest of the object must make it one.
    fn rest(&mut self, held: &mut String) -> Option<Heard> {
        let Stage::Rest {
            end,
            written,
            object,
        } = &mut self.stage
        else {
            return Some(Heard::Broke);
        };
        let bytes = match end.look(held) {
            ValueState::NotOne => return Some(Heard::Broke),
            ValueState::Open => {
                self.take(held, held.len());
                return Some(Heard::Waits);
            }
            ValueState::Ended(bytes) => bytes,
        };
        let (written, object) = (std::mem::take(written), *object);
        self.take(held, bytes);
        let is_that =
            |it: &WrittenCall| self.name.as_ref() == Some(&it.name) && it.arguments == written;
        Some(match call(&self.raw[object..]).filter(is_that) {
            Some(_) => Heard::Ended,
            None => Heard::Broke,
        })
    }

    fn element(
        &mut self,
        held: &mut String,
        reach: Reach,
        told: &mut Vec<Spoken>,
    ) -> Option<Heard> {
        let (Body::Elements(elements), Stage::Elements { schemas, names }) =
            (&self.body, &mut self.stage)
        else {
            return Some(Heard::Broke);
        };
        match elements.next(held) {
            Found::Nothing => Some(Heard::Broke),
            Found::Waits => {
                let last = elements.last(held).filter(|_| reach == Reach::Whole);
                let Some(last) = last else {
                    return Some(Heard::Waits);
                };
                tell(member(elements, &last, schemas.as_ref(), names), told);
                self.take(held, held.len());
                tell("}".to_owned(), told);
                Some(Heard::Ended)
            }
            Found::At(Next::End, bytes) => {
                let end = if names.is_empty() { "{}" } else { "}" };
                tell(end.to_owned(), told);
                self.take(held, bytes);
                Some(Heard::Ended)
            }
            Found::At(Next::Parameter(parameter), bytes) => {
                tell(member(elements, &parameter, schemas.as_ref(), names), told);
                self.take(held, bytes);
                None
            }
        }
    }

    fn notation(&mut self, held: &mut String, told: &mut Vec<Spoken>) -> Option<Heard> {
        match notation::object(held) {
            Found::Waits => Some(Heard::Waits),
            Found::Nothing => Some(Heard::Broke),
            Found::At(arguments, bytes) => {
                tell(arguments, told);
                self.take(held, bytes);
                Some(Heard::Ended)
            }
        }
    }
}

impl Stage {
    fn arguments(object: Option<usize>) -> Self {
        Self::Arguments {
            end: ValueEnd::default(),
            written: String::new(),
            object,
        }
    }
}

/// The member that a parameter is, and what stands before it. Of several of one name the first counts.
fn member(
    elements: &Elements,
    parameter: &Parameter<'_>,
    schemas: Option<&Value>,
    names: &mut Vec<String>,
) -> String {
    let (name, value) = match elements.kinds {
        Kinds::OfTheSchema => {
            let schema = schemas.and_then(|it| it.get(parameter.name));
            (parameter.name.to_owned(), json_of(parameter.value, schema))
        }
        Kinds::Told(mark) if parameter.more.contains(mark) => {
            let value = Value::from(parameter.value).to_string();
            (unescaped(parameter.name), value)
        }
        Kinds::Told(_) => (unescaped(parameter.name), json_of(parameter.value, None)),
    };
    if names.contains(&name) {
        return String::new();
    }
    let before = if names.is_empty() { "{" } else { ", " };
    let member = format!("{before}{}: {value}", Value::from(name.as_str()));
    names.push(name);
    member
}

/// An attribute's value without the escapes that quotes in it need.
fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&lt;", "<");
    text.replace("&gt;", ">").replace("&amp;", "&")
}

fn tell(arguments: String, told: &mut Vec<Spoken>) {
    if !arguments.is_empty() {
        told.push(Spoken::Arguments(arguments));
    }
}

fn is_expression_head(letter: char) -> bool {
    is_name_letter(letter) || letter.is_whitespace() || letter == '['
}
