//! What an answer must look like: `response_format` is OpenAI's way to say it, `structured_outputs`
//! vLLM's, and `grammar` llama-server's.

use sconce_domain::Grammar;
use sconce_pipeline::AskedGrammar;
use serde_json::Value;

use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::strict_json::shown;

const FORMAT: &str = "response_format";
const OUTPUTS: &str = "structured_outputs";
const GRAMMAR: &str = "grammar";
/// Texts that an answer may be chosen from.
const CHOICES_MAX: usize = 4096;

/// The grammar that a request asks for, in whichever way.
pub(super) fn take_grammar(fields: &mut Fields) -> Result<Option<AskedGrammar>, HttpError> {
    let format = fields.take(FORMAT).map(response_format).transpose()?;
    let outputs = fields.take(OUTPUTS).map(structured_outputs).transpose()?;
    let grammar = fields.text(GRAMMAR)?.filter(|it| !it.trim().is_empty());
    let asked = [
        (FORMAT, format.flatten()),
        (OUTPUTS, outputs.flatten()),
        (GRAMMAR, grammar.map(written)),
    ];
    let asked = asked.into_iter().filter_map(|(field, grammar)| {
        let grammar = grammar?;
        Some(AskedGrammar { field, grammar })
    });
    let mut asked = asked.collect::<Vec<_>>().into_iter();
    match (asked.next(), asked.next()) {
        (Some(one), Some(other)) => {
            let (one, other) = (one.field, other.field);
            let message = format!("`{one}` and `{other}` both ask for a form; give one");
            Err(HttpError::field(other, message))
        }
        (one, _) => Ok(one),
    }
}

/// A grammar in one notation or the other: in GBNF, and in no other, `::=` follows the name of the
/// first rule.
fn written(text: String) -> Grammar {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|it| !it.is_empty() && !it.starts_with(['#', '/']));
    let is_letter = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    let behind = first.map(|it| it.trim_start_matches(is_letter).trim_start());
    match behind {
        Some(behind) if behind.starts_with("::=") => Grammar::Gbnf(text),
        _ => Grammar::Lark(text),
    }
}

fn response_format(value: Value) -> Result<Option<Grammar>, HttpError> {
    let mut fields = Fields::of(FORMAT, value)?;
    let known = "text, json_object or json_schema";
    let param = fields.path("type");
    let grammar = match fields.text("type")?.as_deref() {
        Some("text") => None,
        Some("json_object") => {
            // llama.cpp's and others' older way to give a schema.
            let schema = fields.take("schema");
            Some(schema.map_or(Grammar::JsonObject, schema_of))
        }
        Some("json_schema") => Some(json_schema(&mut fields)?),
        Some(other) => {
            let message = format!("`{param}` is `{}`; this server knows {known}", shown(other));
            return Err(HttpError::field(param, message));
        }
        None => {
            let message = format!("`{param}` is missing; it must be {known}");
            return Err(HttpError::field(param, message));
        }
    };
    fields.finish()?;
    Ok(grammar)
}

/// Name and description are for models that are told of them; `strict` is kept either way.
fn json_schema(format: &mut Fields) -> Result<Grammar, HttpError> {
    let path = format.path("json_schema");
    let Some(value) = format.take("json_schema") else {
        let message = format!("`{path}` is missing; it must be an object with a `schema`");
        return Err(HttpError::field(path, message));
    };
    let mut fields = Fields::of(path, value)?;
    let _kept_anyway = fields.flag("strict")?;
    let _told_to_nobody = (fields.text("name")?, fields.text("description")?);
    let param = fields.path("schema");
    let Some(schema) = fields.take("schema") else {
        let message = format!("`{param}` is missing; it must be a JSON Schema");
        return Err(HttpError::field(param, message));
    };
    fields.finish()?;
    Ok(schema_of(schema))
}

/// The order of its properties is the order in which the answer has them.
fn schema_of(schema: Value) -> Grammar {
    Grammar::JsonSchema(schema.to_string())
}

fn structured_outputs(value: Value) -> Result<Option<Grammar>, HttpError> {
    let mut fields = Fields::of(OUTPUTS, value)?;
    let json = match fields.take("json") {
        None => None,
        // Some clients send the schema as text.
        Some(Value::String(text)) => Some(Grammar::JsonSchema(text)),
        Some(schema @ (Value::Object(_) | Value::Bool(_))) => Some(schema_of(schema)),
        Some(other) => return Err(fields.wrong("json", "be a JSON Schema", &other)),
    };
    let is_object = fields.flag("json_object")?.unwrap_or(false);
    let asked = [
        json,
        is_object.then_some(Grammar::JsonObject),
        fields.text("regex")?.map(Grammar::Regex),
        take_choice(&mut fields)?.map(Grammar::Choice),
        fields.text(GRAMMAR)?.map(written),
    ];
    fields.finish()?;
    let mut asked = asked.into_iter().flatten();
    match (asked.next(), asked.next()) {
        (Some(_), Some(_)) => {
            let message = format!("`{OUTPUTS}` asks for several forms; give one");
            Err(HttpError::field(OUTPUTS, message))
        }
        (one, _) => Ok(one),
    }
}

fn take_choice(fields: &mut Fields) -> Result<Option<Vec<String>>, HttpError> {
    let param = fields.path("choice");
    let items = match fields.take("choice") {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(fields.wrong("choice", "be a list of strings", &other)),
    };
    if !(1..=CHOICES_MAX).contains(&items.len()) {
        let count = items.len();
        let message = format!("`{param}` has {count} strings, it must have 1 to {CHOICES_MAX}");
        return Err(HttpError::field(param, message));
    }
    let text = |item| match item {
        Value::String(text) => Ok(text),
        other => Err(crate::wire::fields::wrong(
            &param,
            "hold strings only",
            &other,
        )),
    };
    items
        .into_iter()
        .map(text)
        .collect::<Result<_, _>>()
        .map(Some)
}
