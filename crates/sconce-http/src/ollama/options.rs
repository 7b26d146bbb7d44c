//! `options` and `format`. What is not given is as Ollama has it, so that a client that moves here gets
//! answers of the same kind.

use sconce_domain::{Grammar, Penalties, TokenCount, Truncation};
use sconce_pipeline::{AnswerOptions, AskedGrammar};
use serde_json::Value;

use super::foreign;
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::foreign::refuse;
use crate::wire::sampling::{take_seed, take_truncation};
use crate::wire::stop_strings::take_stop_strings;

const FORMAT: &str = "format";
const TEMPERATURE: f32 = 0.8;
/// How Ollama cuts a distribution.
const TRUNCATION: Truncation = Truncation {
    top_k: 40,
    top_p: 0.9,
    min_p: 0.0,
    typical_p: 1.0,
};

/// How an answer is drawn.
pub(super) fn take_options(request: &mut Fields) -> Result<AnswerOptions, HttpError> {
    let grammar = take_format(request)?;
    let value = request.take("options");
    let mut fields = Fields::of(
        "options",
        value.unwrap_or_else(|| Value::Object(Default::default())),
    )?;
    let options = AnswerOptions {
        temperature: fields
            .number("temperature", 0.0..=2.0)?
            .unwrap_or(TEMPERATURE),
        truncation: take_truncation(&mut fields, TRUNCATION)?,
        penalties: take_penalties(&mut fields)?,
        seed: take_seed(&mut fields)?,
        generated_max: take_bound(&mut fields)?,
        stop: take_stop_strings(&mut fields, "stop")?,
        grammar,
        ..AnswerOptions::default()
    };
    refuse(&mut fields, foreign::OPTIONS)?;
    fields.finish()?;
    Ok(options)
}

/// -1 and -2 are Ollama's ways to say that the context's end is the bound.
fn take_bound(fields: &mut Fields) -> Result<Option<TokenCount>, HttpError> {
    let bound = fields.integer("num_predict", -2..=i64::from(u32::MAX))?;
    if bound == Some(0) {
        let param = fields.path("num_predict");
        let message = format!("`{param}` must be -1, -2 or at least 1, not 0");
        return Err(HttpError::field(param, message));
    }
    Ok(bound.and_then(|it| u32::try_from(it).ok()).map(TokenCount))
}

/// Repeating costs over the whole prompt and answer here. A shorter reach matters only where it costs.
fn take_penalties(fields: &mut Fields) -> Result<Penalties, HttpError> {
    let off = Penalties::default();
    let repetition = fields.number("repeat_penalty", 0.01..=10.0)?;
    let mut repetition = repetition.unwrap_or(off.repetition);
    let reach = fields.integer("repeat_last_n", -1..=i64::from(i32::MAX))?;
    match reach {
        None | Some(-1) => {}
        Some(0) => repetition = off.repetition,
        Some(_) if repetition == off.repetition => {}
        Some(_) => {
            return Err(HttpError::Unsupported {
                param: fields.path("repeat_last_n"),
                note: " but as -1, all tokens, or 0, none".to_owned(),
            });
        }
    }
    Ok(Penalties {
        repetition,
        presence: fields
            .number("presence_penalty", -2.0..=2.0)?
            .unwrap_or(off.presence),
        frequency: fields
            .number("frequency_penalty", -2.0..=2.0)?
            .unwrap_or(off.frequency),
    })
}

fn take_format(fields: &mut Fields) -> Result<Option<AskedGrammar>, HttpError> {
    let grammar = match fields.take(FORMAT) {
        None => return Ok(None),
        Some(Value::String(word)) if word.is_empty() => return Ok(None),
        Some(Value::String(word)) if word == "json" => Grammar::JsonObject,
        Some(schema @ Value::Object(_)) => Grammar::JsonSchema(schema.to_string()),
        Some(other) => return Err(fields.wrong(FORMAT, "be \"json\" or a JSON Schema", &other)),
    };
    Ok(Some(AskedGrammar {
        field: FORMAT,
        grammar,
    }))
}
