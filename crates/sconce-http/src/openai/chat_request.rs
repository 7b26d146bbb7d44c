//! `POST /v1/chat/completions`, as it comes.

use sconce_domain::{Message, RequestId, Role};
use sconce_pipeline::{AnswerOptions, AnswerRequest, Ask};
use serde_json::Value;

use super::foreign;
use super::options::{
    ALTERNATIVES_MAX, take_delivery, take_options, take_tokens_max, take_tokens_min,
};
use super::tools::{take_calls, take_tools};
use crate::error::HttpError;
use crate::wire::fields::{Fields, wrong};
use crate::wire::foreign::refuse;
use crate::wire::functions::check_one_form;
use crate::wire::parsed::ParsedRequest;
use crate::wire::strict_json;
use crate::wire::strict_json::shown;

/// Reads a chat request, or says what in it must change.
pub(crate) fn parse_chat(id: RequestId, body: &[u8]) -> Result<ParsedRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let messages = take_messages(&mut fields)?;
    let delivery = take_delivery(&mut fields)?;
    let names = ["max_completion_tokens", "max_tokens"];
    let generated_max = take_tokens_max(&mut fields, &names, 1)?;
    let options = AnswerOptions {
        generated_max,
        generated_min: take_tokens_min(&mut fields, generated_max)?,
        logprobs: take_logprobs(&mut fields)?,
        tools: take_tools(&mut fields)?,
        ..take_options(&mut fields)?
    };
    check_one_form(&options)?;
    refuse(&mut fields, foreign::ANY_REQUEST)?;
    refuse(&mut fields, foreign::CHAT)?;
    fields.finish()?;
    let request = AnswerRequest {
        id,
        model,
        ask: Ask::Chat(messages),
        options,
    };
    Ok(ParsedRequest { request, delivery })
}

fn take_logprobs(fields: &mut Fields) -> Result<Option<u8>, HttpError> {
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    match (wanted, fields.count("top_logprobs", 0..=ALTERNATIVES_MAX)?) {
        (true, count) => Ok(Some(
            count.and_then(|it| u8::try_from(it).ok()).unwrap_or(0),
        )),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => {
            let message = "`top_logprobs` needs `logprobs` to be true";
            Err(HttpError::field("top_logprobs", message))
        }
    }
}

fn take_messages(fields: &mut Fields) -> Result<Vec<Message>, HttpError> {
    let items = fields.messages()?;
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| message(index, item))
        .collect()
}

fn message(index: usize, item: Value) -> Result<Message, HttpError> {
    let mut fields = Fields::of(format!("messages[{index}]"), item)?;
    let role = take_role(&mut fields)?;
    let (mut reasoning, mut calls, mut call_id) = (None, Vec::new(), None);
    if role == Role::Assistant {
        reasoning = fields
            .text("reasoning_content")?
            .filter(|it| !it.is_empty());
        calls = take_calls(&mut fields)?;
    }
    if role == Role::Tool {
        call_id = Some(take_call_id(&mut fields)?);
    }
    let content = match fields.take("content") {
        // An answer that only called said nothing.
        None if !calls.is_empty() => String::new(),
        content => content_text(fields.path("content"), content)?,
    };
    refuse(&mut fields, foreign::MESSAGE)?;
    fields.finish()?;
    Ok(Message {
        role,
        content,
        reasoning,
        calls,
        call_id,
    })
}

fn take_role(fields: &mut Fields) -> Result<Role, HttpError> {
    let param = fields.path("role");
    let known = "system, developer, user, assistant or tool";
    match fields.text("role")?.as_deref() {
        Some("system" | "developer") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool") => Ok(Role::Tool),
        Some(other) => {
            let message = format!("`{param}` is `{}`; this server knows {known}", shown(other));
            Err(HttpError::field(param, message))
        }
        None => {
            let message = format!("`{param}` is missing; it must be {known}");
            Err(HttpError::field(param, message))
        }
    }
}

fn take_call_id(fields: &mut Fields) -> Result<String, HttpError> {
    let param = fields.path("tool_call_id");
    fields.text("tool_call_id")?.ok_or_else(|| {
        let message = format!("`{param}` is missing; it must be the id of the call answered");
        HttpError::field(param.clone(), message)
    })
}

/// Parts are separate paragraphs of one text: templates know only texts.
fn content_text(param: String, content: Option<Value>) -> Result<String, HttpError> {
    match content {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let texts: Result<Vec<String>, HttpError> = parts
                .into_iter()
                .enumerate()
                .map(|(index, part)| text_part(format!("{param}[{index}]"), part))
                .collect();
            texts.map(|it| it.join("\n"))
        }
        Some(Value::Array(_)) | None => {
            let message = format!("`{param}` is missing; it must be a string or a list of parts");
            Err(HttpError::field(param, message))
        }
        Some(other) => Err(wrong(&param, "be a string or a list of parts", &other)),
    }
}

fn text_part(path: String, part: Value) -> Result<String, HttpError> {
    let mut fields = Fields::of(path, part)?;
    let param = fields.path("type");
    match fields.text("type")?.as_deref() {
        Some("text") => {}
        Some(other) => {
            let note = format!(" as `{}`, only as `text`", shown(other));
            return Err(HttpError::Unsupported { param, note });
        }
        None => {
            let message = format!("`{param}` is missing; it must be `text`");
            return Err(HttpError::field(param, message));
        }
    }
    let param = fields.path("text");
    let text = fields.text("text")?.ok_or_else(|| {
        HttpError::field(
            param.clone(),
            format!("`{param}` is missing; it must be a string"),
        )
    })?;
    fields.finish()?;
    Ok(text)
}
