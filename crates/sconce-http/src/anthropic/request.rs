//! `POST /v1/messages` and `POST /v1/messages/count_tokens`, as they come.

use sconce_domain::{Grammar, Message, RequestId, TokenCount, Truncation};
use sconce_pipeline::{AnswerOptions, AnswerRequest, Ask, AskedGrammar};
use serde_json::Value;

use super::blocks::{take_cache_control, take_conversation};
use super::foreign;
use super::tools::take_tool_use;
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::foreign::refuse;
use crate::wire::functions::{check_one_form, missing};
use crate::wire::parsed::{Delivery, ParsedRequest};
use crate::wire::stop_strings::take_stop_strings;
use crate::wire::strict_json;
use crate::wire::user::take_user;

const OUTPUT: &str = "output_config";

/// A chat whose tokens are to be counted.
#[derive(Debug)]
pub(super) struct CountRequest {
    pub(super) model: Option<String>,
    pub(super) messages: Vec<Message>,
    pub(super) options: AnswerOptions,
}

/// Reads a request for the next turn, or says what in it must change.
pub(super) fn parse_messages(id: RequestId, body: &[u8]) -> Result<ParsedRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let Some(tokens_max) = fields.count("max_tokens", 1..=u32::MAX)? else {
        return Err(missing("max_tokens".to_owned(), "must be a whole number"));
    };
    let chat = take_chat(&mut fields)?;
    let usual = AnswerOptions::default();
    let options = AnswerOptions {
        generated_max: Some(TokenCount(tokens_max)),
        temperature: fields
            .number("temperature", 0.0..=1.0)?
            .unwrap_or(usual.temperature),
        truncation: take_truncation(&mut fields)?,
        stop: take_stop_strings(&mut fields, "stop_sequences")?,
        user: take_user_id(&mut fields)?,
        ..chat.options
    };
    let delivery = match fields.flag("stream")? {
        Some(true) => Delivery::Stream,
        Some(false) | None => Delivery::Whole,
    };
    refuse(&mut fields, foreign::REQUEST)?;
    fields.finish()?;
    let request = AnswerRequest {
        id,
        model: chat.model,
        ask: Ask::Chat(chat.messages),
        options,
    };
    Ok(ParsedRequest { request, delivery })
}

/// Reads a request to count a chat's tokens.
pub(super) fn parse_count(body: &[u8]) -> Result<CountRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let chat = take_chat(&mut fields)?;
    refuse(&mut fields, foreign::REQUEST)?;
    fields.finish()?;
    Ok(chat)
}

/// What decides a chat's prompt.
fn take_chat(fields: &mut Fields) -> Result<CountRequest, HttpError> {
    let model = fields.text("model")?;
    let messages = take_conversation(fields)?;
    let options = AnswerOptions {
        tools: take_tool_use(fields)?,
        grammar: take_form(fields)?,
        ..AnswerOptions::default()
    };
    check_one_form(&options)?;
    take_cache_control(fields)?;
    Ok(CountRequest {
        model,
        messages,
        options,
    })
}

fn take_truncation(fields: &mut Fields) -> Result<Truncation, HttpError> {
    let off = Truncation::default();
    let top_p = fields.number("top_p", 0.0..=1.0)?.unwrap_or(off.top_p);
    if top_p == 0.0 {
        let message = "`top_p` must be above 0; for the likeliest token only, set `temperature` 0";
        return Err(HttpError::field("top_p", message));
    }
    Ok(Truncation {
        top_k: fields.count("top_k", 0..=u32::MAX)?.unwrap_or(off.top_k),
        top_p,
        ..off
    })
}

fn take_user_id(fields: &mut Fields) -> Result<Option<String>, HttpError> {
    let Some(value) = fields.take("metadata") else {
        return Ok(None);
    };
    let mut metadata = Fields::of("metadata", value)?;
    let user = take_user(&mut metadata, "user_id")?;
    metadata.finish()?;
    Ok(user)
}

fn take_form(fields: &mut Fields) -> Result<Option<AskedGrammar>, HttpError> {
    let Some(value) = fields.take(OUTPUT) else {
        return Ok(None);
    };
    let mut output = Fields::of(OUTPUT, value)?;
    let path = output.path("format");
    let form = output.take("format").map(|it| form_of(path, it));
    refuse(&mut output, foreign::OUTPUT)?;
    output.finish()?;
    form.transpose()
}

fn form_of(path: String, value: Value) -> Result<AskedGrammar, HttpError> {
    let mut format = Fields::of(path, value)?;
    let param = format.path("type");
    if format.text("type")?.as_deref() != Some("json_schema") {
        let message = format!("`{param}` must be `json_schema`");
        return Err(HttpError::field(param, message));
    }
    let param = format.path("schema");
    let Some(schema) = format.take("schema") else {
        return Err(missing(param, "must be a JSON Schema"));
    };
    format.finish()?;
    Ok(AskedGrammar {
        field: OUTPUT,
        grammar: Grammar::JsonSchema(schema.to_string()),
    })
}
