//! A model's chat template: messages to the one text that the model was trained to read.
//!
//! A template is foreign code: it came with the weights. So it gets no file and no clock, its work
//! and its output are bounded by what its input justifies, and its depth cannot exhaust the stack.

mod chat;
mod civil_time;
mod deep_stack;
mod engine;
mod json;
mod output;

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind};
use sconce_domain::{Message, Tool};
use serde_json::{Map, Value as Json, json};

pub use civil_time::CivilTime;

use crate::{Guard, Rendered, SpeechFormat, TextError};
use engine::Refusal;
use output::CappedOutput;

/// The template's name in the engine and its messages.
const NAME: &str = "chat_template";
/// The longest published templates have about 20,000 bytes. The engine takes time with the square
/// of an expression's length to compile it: ten seconds for this many bytes of one sum.
const SOURCE_BYTES_MAX: usize = 64 * 1024;
/// No chat is granted more; rendering stays below a second.
const FUEL_MAX: u64 = 8_000_000;

/// A compiled chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: Box<str>,
    speech: Option<&'static SpeechFormat>,
    bos: String,
    eos: String,
}

/// What a rendering depends on besides the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether the text ends where the model's answer begins.
    pub adds_generation_prompt: bool,
    /// The date and time for templates that tell the model; this crate has no clock.
    pub now: CivilTime,
}

/// What one rendering may spend.
#[derive(Debug, Clone, Copy)]
struct Budget {
    fuel: u64,
    output_bytes_max: usize,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are the texts of these tokens, empty without one.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TextError> {
        if source.len() > SOURCE_BYTES_MAX {
            let reason = format!("its {} bytes exceed {SOURCE_BYTES_MAX}", source.len());
            return Err(TextError::TemplateSyntax { reason });
        }
        let environment = deep_stack::for_source(source, || {
            let mut environment = engine::environment();
            environment
                .add_template_owned(NAME, engine::without_generation_tags(source))
                .map_err(|error| TextError::TemplateSyntax {
                    reason: describe(&error),
                })?;
            Ok(environment)
        })?;
        Ok(Self {
            environment,
            source: source.into(),
            speech: SpeechFormat::of_template(source),
            bos: bos.to_owned(),
            eos: eos.to_owned(),
        })
    }

    /// What it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How a model writes its calls that is spoken to in this template; `None` if in a way of its
    /// own that nobody here can read.
    #[must_use]
    pub fn speech(&self) -> Option<&'static SpeechFormat> {
        self.speech
    }

    /// The same template for a model that calls in `format`, whatever the template tells of it.
    #[must_use]
    pub fn with_speech(self, format: &'static SpeechFormat) -> Self {
        Self {
            speech: Some(format),
            ..self
        }
    }

    /// Whether models that are spoken to in this template mark their thoughts.
    #[must_use]
    pub fn knows_thoughts(&self) -> bool {
        self.marks().has_thoughts_in(&self.source)
    }

    /// Whether a text that it rendered ends where the model's thoughts begin.
    #[must_use]
    pub fn begins_thoughts(&self, rendered: &str) -> bool {
        self.marks().begins_thoughts(rendered)
    }

    /// A model whose calls nobody can read may think as most do.
    fn marks(&self) -> &'static SpeechFormat {
        self.speech.unwrap_or_else(SpeechFormat::taught)
    }

    /// Renders a chat in which `tools` may be called. A template that knows no functions gets them
    /// as part of the instructions. The chat's texts are guarded, those of the template are not.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Tool],
        guard: &Guard,
        options: &RenderOptions,
    ) -> Result<Rendered, TextError> {
        let messages = messages.iter().map(chat::message);
        let mut messages: Vec<Json> = messages.map(|it| guard.seal(it)).collect();
        let tools = tools.iter().map(chat::tool);
        let tools: Vec<Json> = tools.map(|it| guard.seal(it)).collect();
        if !tools.is_empty() && !SpeechFormat::is_told_by(&self.source) {
            chat::teach(&mut messages, &self.marks().lesson(&tools));
        }
        let tools = (!tools.is_empty()).then_some(tools);
        let variables = json!({
            "messages": messages,
            "tools": tools,
            "documents": null,
            "add_generation_prompt": options.adds_generation_prompt,
        });
        self.render_value(&variables, options.now)
            .map(Rendered::new)
    }

    /// Renders with variables as they are; `bos_token` and `eos_token` are added if missing.
    pub fn render_value(&self, variables: &Json, now: CivilTime) -> Result<String, TextError> {
        let Json::Object(given) = variables else {
            return Err(TextError::TemplateVariablesNotAMap);
        };
        let mut all = Map::new();
        all.insert("bos_token".to_owned(), Json::from(self.bos.as_str()));
        all.insert("eos_token".to_owned(), Json::from(self.eos.as_str()));
        all.extend(
            given
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let budget = Budget::for_input(given);
        deep_stack::for_fuel(budget.fuel, || self.run(&all, now, budget))
    }

    fn run(
        &self,
        variables: &Map<String, Json>,
        now: CivilTime,
        budget: Budget,
    ) -> Result<String, TextError> {
        // Fuel and clock belong to one rendering; a copy of the environment shares the template.
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(budget.fuel));
        environment.add_function("strftime_now", move |format: &str| now.format(format));
        let mut output = CappedOutput::new(budget.output_bytes_max);
        let rendered = environment.get_template(NAME).and_then(|template| {
            template
                .render_captured_to(Serde(variables), &mut output)
                .map(drop)
        });
        match rendered {
            Ok(()) => output.into_text(),
            Err(_) if output.is_full() => Err(output.too_long()),
            Err(error) => Err(explain(&error, budget)),
        }
    }
}

impl Budget {
    /// A fixed part for the template's own declarations, and a part that grows with the input.
    fn for_input(variables: &Map<String, Json>) -> Self {
        let size = variables
            .values()
            .map(InputSize::of)
            .fold(InputSize::default(), InputSize::plus);
        Self {
            fuel: FUEL_MAX.min(300_000 + 2_500 * size.values + size.bytes),
            output_bytes_max: (1 << 20)
                + 8 * usize::try_from(size.bytes).unwrap_or(usize::MAX / 16),
        }
    }
}

/// How much there is to render.
#[derive(Debug, Clone, Copy, Default)]
struct InputSize {
    values: u64,
    bytes: u64,
}

impl InputSize {
    fn of(value: &Json) -> Self {
        match value {
            Json::String(text) => Self {
                values: 1,
                bytes: text.len() as u64,
            },
            Json::Array(items) => items.iter().map(Self::of).fold(Self::one(), Self::plus),
            Json::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    Self {
                        values: 0,
                        bytes: key.len() as u64,
                    }
                    .plus(Self::of(value))
                })
                .fold(Self::one(), Self::plus),
            Json::Null | Json::Bool(_) | Json::Number(_) => Self::one(),
        }
    }

    fn one() -> Self {
        Self {
            values: 1,
            bytes: 0,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            bytes: self.bytes + other.bytes,
        }
    }
}

fn explain(error: &minijinja::Error, budget: Budget) -> TextError {
    if let Some(refusal) = Refusal::behind(error) {
        return TextError::TemplateRefused {
            reason: refusal.to_string(),
        };
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let kind = current
            .downcast_ref::<minijinja::Error>()
            .map(minijinja::Error::kind);
        if kind == Some(ErrorKind::OutOfFuel) {
            return TextError::TemplateOutOfFuel { fuel: budget.fuel };
        }
        cause = current.source();
    }
    TextError::TemplateFailed {
        reason: describe(error),
    }
}

fn describe(error: &minijinja::Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}
