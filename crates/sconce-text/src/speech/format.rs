//! The table of formats: how models mark their thoughts and write their calls.

use sconce_domain::{CallForm, FunctionForm, ToolChoice, ToolUse};
use serde_json::{Map, Value, json};

/// Calls that one answer may hold where it must call: an end for a model that finds none itself.
const CALLS_MAX: u32 = 16;

/// How a model writes its thoughts and calls.
#[derive(Debug, PartialEq, Eq)]
pub struct SpeechFormat {
    /// Its name on model cards.
    pub name: &'static str,
    /// Texts that all stand in a chat template of this format.
    seen_in_template: &'static [&'static str],
    /// What a call begins with. Without it, a call is JSON where the answer begins.
    pub(super) opening: Option<&'static str>,
    /// What a call ends with, if with anything.
    pub(super) closing: Option<&'static str>,
    layout: Layout,
    /// The key of a call's arguments; all formats read all of [`ARGUMENTS_KEYS`].
    arguments_key: &'static str,
    /// How calls are named in a chat.
    pub ids: CallIds,
}

/// What follows an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One call.
    Single,
    /// A list of calls.
    List,
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
/// What stands before a model's thoughts.
pub(crate) const THOUGHTS_BEGIN: &str = "<think>";
/// What stands behind them.
pub(crate) const THOUGHTS_END: &str = "</think>";

/// All formats. The first is also spoken with models whose template knows no functions.
const FORMATS: &[SpeechFormat] = &[
    SpeechFormat {
        name: "tagged",
        seen_in_template: &["<tool_call>", "\"name\""],
        opening: Some("<tool_call>"),
        closing: Some("</tool_call>"),
        layout: Layout::Single,
        arguments_key: "arguments",
        ids: CallIds::Prefixed,
    },
    SpeechFormat {
        name: "listed",
        seen_in_template: &["[TOOL_CALLS]["],
        opening: Some("[TOOL_CALLS]"),
        closing: None,
        layout: Layout::List,
        arguments_key: "arguments",
        ids: CallIds::NineLetters,
    },
    SpeechFormat {
        name: "bare",
        seen_in_template: &["<|start_header_id|>", "\"parameters\""],
        opening: None,
        closing: None,
        layout: Layout::Single,
        arguments_key: "parameters",
        ids: CallIds::Prefixed,
    },
];

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

    /// The format whose markers stand in a chat template, or the one that is taught where it says
    /// nothing of functions.
    #[must_use]
    pub fn of_template(source: &str) -> Option<&'static Self> {
        if !Self::is_told_by(source) {
            return Some(Self::taught());
        }
        let stands =
            |it: &&SpeechFormat| it.seen_in_template.iter().all(|text| source.contains(text));
        FORMATS.iter().find(stands)
    }

    /// Whether `text` is one of the format's markers. In some vocabularies they are control tokens,
    /// which otherwise have no text in an answer.
    #[must_use]
    pub fn is_marker(&self, text: &str) -> bool {
        let markers = [self.opening, self.closing];
        let thoughts = [Some(THOUGHTS_BEGIN), Some(THOUGHTS_END)];
        markers.iter().chain(&thoughts).any(|it| *it == Some(text))
    }

    /// The format that a model is told of which knows none.
    #[must_use]
    pub fn taught() -> &'static Self {
        &FORMATS[0]
    }

    /// What an answer must look like that has to call; none if it need not.
    #[must_use]
    pub fn form_of(&self, wanted: &ToolUse) -> Option<CallForm> {
        let (named, calls_max) = match &wanted.choice {
            ToolChoice::Auto | ToolChoice::None => return None,
            ToolChoice::Required if wanted.parallel => (None, CALLS_MAX),
            ToolChoice::Required => (None, 1),
            ToolChoice::Named(name) => (Some(name), 1),
        };
        let may_be_called = |name: &String| named.is_none_or(|it| it == name);
        let called = wanted.tools.iter().filter(|it| may_be_called(&it.name));
        let functions = called.map(|tool| {
            self.function_form(&tool.name, arguments_schema(tool.parameters.as_deref()))
        });
        let functions = functions.collect();
        let opening = self.opening.unwrap_or_default();
        Some(if self.layout == Layout::List {
            CallForm {
                opening: format!("{opening}["),
                functions,
                between: ", ".to_owned(),
                closing: "]".to_owned(),
                calls_max,
            }
        } else {
            let between = if self.opening.is_some() { "\n" } else { "; " };
            CallForm {
                opening: String::new(),
                functions,
                between: between.to_owned(),
                closing: String::new(),
                calls_max,
            }
        })
    }

    fn function_form(&self, name: &str, arguments: String) -> FunctionForm {
        let key = self.arguments_key;
        let object = format!("{{\"name\": {}, \"{key}\": ", json!(name));
        let marker = self.opening.filter(|_| self.layout == Layout::Single);
        FunctionForm {
            before: marker.map_or_else(|| object.clone(), |it| format!("{it}\n{object}")),
            arguments,
            after: self
                .closing
                .map_or_else(|| "}".to_owned(), |it| format!("}}\n{it}")),
        }
    }

    /// Text for the model's instructions, where the chat template says nothing of functions.
    #[must_use]
    pub fn lesson(&self, tools: &[Value]) -> String {
        let listed: Vec<String> = tools.iter().map(Value::to_string).collect();
        let FunctionForm { before, after, .. } = self.function_form("NAME", String::new());
        let (before, after) = if self.layout == Layout::List {
            (
                format!("{}[{before}", self.opening.unwrap_or_default()),
                format!("{after}]"),
            )
        } else {
            (before, after)
        };
        format!(
            "You can call these functions; each is described in JSON:\n{}\n\
             To call one, write nothing but this, with its name and its arguments:\n\
             {before}{{ARGUMENTS}}{after}",
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
