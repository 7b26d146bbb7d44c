//! What there is to say of a format: how models mark their thoughts and write their calls.

use sconce_domain::{CallForm, FreeCalls, FunctionForm, Tool, ToolChoice, ToolUse};
use serde_json::{Map, Value, json};

use super::channels;
use super::elements::Elements;
use super::notation::QUOTE;
use super::table::{FORMATS, TAUGHT};

/// How a model writes its thoughts and calls.
#[derive(Debug, PartialEq, Eq)]
pub struct SpeechFormat {
    /// Its name on model cards.
    pub name: &'static str,
    /// Texts that all stand in a chat template of this format.
    pub(super) seen_in_template: &'static [&'static str],
    /// What stands before thoughts, and behind them.
    pub(super) thoughts: &'static [(&'static str, &'static str)],
    /// Whether a call ends thoughts that nothing else has ended.
    pub(super) calls_end_thoughts: bool,
    /// What calls stand behind.
    pub(super) openings: &'static [&'static str],
    /// What a call begins with that stands behind no mark. It may only where an answer begins.
    pub(super) bare: Option<char>,
    pub(super) section: Section,
    pub(super) body: Body,
    /// What may stand behind a call, and belongs to it.
    pub(super) closings: &'static [&'static str],
    /// Marks around what is said, which are no part of it.
    pub(super) hushed: &'static [&'static str],
    pub(super) spacing: Spacing,
    pub(super) form: Form,
    /// How calls are named in a chat.
    pub ids: CallIds,
}

/// What an opening opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// One call.
    None,
    /// A list of objects, or one call.
    List,
    /// Calls that each begin with `begin`, until one of `ends`; what stands between them is nothing.
    Marked {
        begin: &'static str,
        ends: &'static [&'static str],
    },
}

/// How a call is written. An object in JSON that has its name and its arguments is read everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// As such an object, and in no other way.
    Object,
    /// Its name, then its arguments in JSON.
    Named(Named),
    /// As elements with tags.
    Elements(Elements),
    /// As an object in a notation of its own, behind its name.
    Notation { before: &'static str },
    /// As an expression.
    Expressions,
    /// As a message to the function; so is all that is said and thought a message.
    Channels,
}

/// A name in front of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) before: &'static str,
    pub(super) end: &'static str,
    /// What stands behind the name and is no part of it.
    pub(super) aside: Option<&'static str>,
    /// Whether it has a kind before it and a number behind it.
    pub(super) is_numbered: bool,
}

/// Whose the space is between a mark and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    OfTheMarks,
    OfTheText,
}

/// How calls are written that must be made, with `NAME` for the function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) opening: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) between: &'static str,
    pub(super) closing: &'static str,
    /// An end for a model that finds none itself.
    pub(super) calls_max: u32,
}

/// How calls are named in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallIds {
    /// As OpenAI names them.
    Prefixed,
    /// By nine letters and digits; templates of some formats accept no others.
    NineLetters,
}

/// What the arguments of a call are called.
pub(super) const ARGUMENTS_KEYS: &[&str] = &["arguments", "parameters"];

impl SpeechFormat {
    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|it| it.name == name)
    }

    /// The names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|it| it.name)
    }

    /// Whether a chat template has something to say of functions.
    pub(crate) fn is_told_by(template: &str) -> bool {
        template.contains("tools")
    }

    /// The format whose marks stand in a chat template. One that says nothing of functions has the
    /// format that is taught, unless even what is said has marks in it.
    #[must_use]
    pub fn of_template(source: &str) -> Option<&'static Self> {
        let stands =
            |it: &&SpeechFormat| it.seen_in_template.iter().all(|text| source.contains(text));
        let found = FORMATS.iter().find(stands);
        if Self::is_told_by(source) {
            return found;
        }
        Some(found.filter(|it| it.marks_all()).unwrap_or(TAUGHT))
    }

    /// The format that a model is told of which knows none.
    #[must_use]
    pub fn taught() -> &'static Self {
        TAUGHT
    }

    /// Whether what is said stands between marks too, so that every answer has to be listened to.
    #[must_use]
    pub fn marks_all(&self) -> bool {
        self.body == Body::Channels || !self.hushed.is_empty()
    }

    /// Whether `text` is one of the format's marks or part of one. In some vocabularies they are
    /// control tokens, which otherwise have no text in an answer.
    #[must_use]
    pub fn is_marker(&self, text: &str) -> bool {
        !text.is_empty() && self.marks().any(|it| it.contains(text))
    }

    fn marks(&self) -> impl Iterator<Item = &'static str> {
        let thoughts = self.thoughts.iter().flat_map(|(begin, end)| [*begin, *end]);
        let lists = [self.openings, self.closings, self.hushed];
        let (begin, ends) = match self.section {
            Section::Marked { begin, ends } => (begin, ends),
            Section::None | Section::List => ("", [].as_slice()),
        };
        let body: Vec<&str> = match &self.body {
            Body::Object | Body::Expressions => Vec::new(),
            Body::Named(named) => [named.before, named.end]
                .into_iter()
                .chain(named.aside)
                .collect(),
            Body::Elements(elements) => elements.marks().to_vec(),
            Body::Notation { before } => vec![*before, QUOTE],
            Body::Channels => channels::MARKS.to_vec(),
        };
        let listed = lists.into_iter().flatten().chain(ends).copied();
        thoughts.chain(listed).chain([begin]).chain(body)
    }

    /// Whether models that are spoken to in this template mark their thoughts.
    pub(crate) fn has_thoughts_in(&self, template: &str) -> bool {
        let is_there = |(_, end): &(&str, &str)| template.contains(end);
        self.marks_all() || self.thoughts.iter().any(is_there)
    }

    /// Whether `prompt` ends where thoughts begin.
    pub(crate) fn begins_thoughts(&self, prompt: &str) -> bool {
        let prompt = prompt.trim_end();
        self.thoughts
            .iter()
            .any(|(begin, _)| prompt.ends_with(begin))
    }

    /// What an answer must look like that has to call; none if it need not.
    #[must_use]
    pub fn form_of(&self, wanted: &ToolUse) -> Option<CallForm> {
        let named = match &wanted.choice {
            ToolChoice::Auto | ToolChoice::None => return None,
            ToolChoice::Required => None,
            ToolChoice::Named(name) => Some(name),
        };
        let calls_max = match named {
            None if wanted.parallel => self.form.calls_max,
            _ => 1,
        };
        let may_be_called = |it: &&Tool| named.is_none_or(|name| *name == it.name);
        let functions = wanted.tools.iter().filter(may_be_called);
        let functions = functions.map(|it| self.function_form(it, it.parameters.as_deref()));
        Some(self.call_form(functions.collect(), calls_max))
    }

    /// What the calls must look like that a model makes of its own accord: those of strict
    /// functions fit their schema, those of others are any object. `None` where what a call begins
    /// with may be something else, or where models write it in another way than they are held to.
    #[must_use]
    pub fn free_form_of(&self, wanted: &ToolUse) -> Option<FreeCalls> {
        let is_as_written = matches!(self.body, Body::Object | Body::Named(_));
        let ([trigger], None, true) = (self.openings, self.bare, is_as_written) else {
            return None;
        };
        let any = Some(r#"{"type": "object"}"#);
        let functions = wanted.tools.iter().map(|it| {
            let parameters = it.parameters.as_deref();
            self.function_form(it, if it.is_strict { parameters } else { any })
        });
        let mut form = self.call_form(functions.collect(), self.form.calls_max);
        if !wanted.parallel {
            form.calls_max = 1;
        }
        if form.opening.is_empty() {
            // Each call has a trigger of its own.
            form.calls_max = 1;
            for function in &mut form.functions {
                function.before = function.before.strip_prefix(trigger)?.to_owned();
            }
        } else {
            form.opening = form.opening.strip_prefix(trigger)?.to_owned();
        }
        Some(FreeCalls {
            trigger: (*trigger).to_owned(),
            form,
        })
    }

    fn function_form(&self, tool: &Tool, parameters: Option<&str>) -> FunctionForm {
        FunctionForm {
            before: self.form.before.replace("NAME", &tool.name),
            arguments: arguments_schema(parameters),
            after: self.form.after.to_owned(),
        }
    }

    fn call_form(&self, functions: Vec<FunctionForm>, calls_max: u32) -> CallForm {
        CallForm {
            opening: self.form.opening.to_owned(),
            functions,
            between: self.form.between.to_owned(),
            closing: self.form.closing.to_owned(),
            calls_max,
        }
    }

    /// Text for the model's instructions, where the chat template says nothing of functions.
    #[must_use]
    pub fn lesson(&self, tools: &[Value]) -> String {
        let listed: Vec<String> = tools.iter().map(Value::to_string).collect();
        let Form {
            opening,
            before,
            after,
            closing,
            ..
        } = self.form;
        format!(
            "You can call these functions; each is described in JSON:\n{}\n\
             To call one, write nothing but this, with its name and its arguments:\n\
             {opening}{before}{{ARGUMENTS}}{after}{closing}",
            listed.join("\n")
        )
    }
}

/// A function without parameters takes an empty object, and arguments are an object in any case.
fn arguments_schema(parameters: Option<&str>) -> String {
    let Some(text) = parameters else {
        return json!({"type": "object", "properties": {}, "additionalProperties": false})
            .to_string();
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(schema)) if !schema.contains_key("type") => {
            let mut typed = Map::new();
            typed.insert("type".to_owned(), Value::from("object"));
            typed.extend(schema);
            Value::Object(typed).to_string()
        }
        _ => text.to_owned(),
    }
}
