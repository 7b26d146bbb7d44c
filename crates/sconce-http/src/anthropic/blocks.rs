//! The turns of a conversation, each a text or a list of blocks.
//!
//! A turn may hold answers of functions and texts; to templates these are turns of their own. Turns of one
//! speaker that follow each other are one turn, as Anthropic has it.

use sconce_domain::{Message, Role, ToolCall};
use serde_json::Value;

use super::foreign;
use crate::error::HttpError;
use crate::wire::fields::{Fields, wrong};
use crate::wire::foreign::refuse;
use crate::wire::functions::{missing, take_name};
use crate::wire::strict_json::shown;

/// What the model reads before the answer of a function that failed.
const FAILED: &str = "Error: ";

/// `system`, if it says something, and `messages`.
pub(super) fn take_conversation(fields: &mut Fields) -> Result<Vec<Message>, HttpError> {
    let mut turns = Vec::new();
    if let Some(value) = fields.take("system") {
        let text = texts("system", value)?;
        if !text.is_empty() {
            turns.push(Message::text(Role::System, text));
        }
    }
    let items = fields.messages()?;
    let last = items.len() - 1;
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let role = add_message(&mut turns, path.clone(), item)?;
        if index == last && role == Role::Assistant {
            return Err(HttpError::Unsupported {
                param: format!("{path}.role"),
                note: " as `assistant` in the last message: an answer is not begun for the model"
                    .to_owned(),
            });
        }
    }
    Ok(turns)
}

fn add_message(turns: &mut Vec<Message>, path: String, item: Value) -> Result<Role, HttpError> {
    let mut fields = Fields::of(path, item)?;
    let param = fields.path("role");
    let role = match fields.text("role")?.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            let message = format!(
                "`{param}` is `{}`; this server knows user and assistant",
                shown(other)
            );
            return Err(HttpError::field(param, message));
        }
        None => return Err(missing(param, "must be user or assistant")),
    };
    let path = fields.path("content");
    match fields.take("content") {
        Some(Value::String(text)) => say(turns, role, &text),
        Some(Value::Array(blocks)) => {
            for (index, block) in blocks.into_iter().enumerate() {
                add_block(turns, role, Fields::of(format!("{path}[{index}]"), block)?)?;
            }
        }
        Some(other) => return Err(wrong(&path, "be a string or a list of blocks", &other)),
        None => return Err(missing(path, "must be a string or a list of blocks")),
    }
    fields.finish()?;
    Ok(role)
}

fn add_block(turns: &mut Vec<Message>, role: Role, mut block: Fields) -> Result<(), HttpError> {
    let param = block.path("type");
    let kind = block.text("type")?;
    match (kind.as_deref(), role) {
        (Some("text"), _) => {
            let text = text_of(block)?;
            say(turns, role, &text);
        }
        (Some("tool_result"), Role::User) => turns.push(result_of(block)?),
        (Some("tool_use"), Role::Assistant) => {
            let call = call_of(block)?;
            turn(turns, role).calls.push(call);
        }
        (Some("thinking"), Role::Assistant) => {
            let thought = thought_of(block)?;
            let turn = turn(turns, role);
            let before = turn.reasoning.take();
            turn.reasoning = Some(before.map_or(thought.clone(), |it| it + "\n" + &thought));
        }
        (Some(other), _) => {
            let note = format!(" as `{}` in a turn of this role", shown(other));
            return Err(HttpError::Unsupported { param, note });
        }
        (None, _) => return Err(missing(param, "must name a kind of block")),
    }
    Ok(())
}

/// The speaker's turn that is under way, or a new one.
fn turn(turns: &mut Vec<Message>, role: Role) -> &mut Message {
    if turns.last().is_none_or(|it| it.role != role) {
        turns.push(Message::text(role, String::new()));
    }
    let last = turns.len() - 1;
    &mut turns[last]
}

/// Blocks are separate paragraphs of one text: templates know only texts.
fn say(turns: &mut Vec<Message>, role: Role, text: &str) {
    let turn = turn(turns, role);
    if !turn.content.is_empty() && !text.is_empty() {
        turn.content.push('\n');
    }
    turn.content.push_str(text);
}

/// A text, or the texts of a list of blocks.
fn texts(path: &str, value: Value) -> Result<String, HttpError> {
    let blocks = match value {
        Value::String(text) => return Ok(text),
        Value::Array(blocks) => blocks,
        other => return Err(wrong(path, "be a string or a list of blocks", &other)),
    };
    let mut texts = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let mut block = Fields::of(format!("{path}[{index}]"), block)?;
        let param = block.path("type");
        match block.text("type")?.as_deref() {
            Some("text") => texts.push(text_of(block)?),
            Some(other) => {
                let note = format!(" as `{}`, only as `text`", shown(other));
                return Err(HttpError::Unsupported { param, note });
            }
            None => return Err(missing(param, "must be `text`")),
        }
    }
    Ok(texts.join("\n"))
}

fn text_of(mut block: Fields) -> Result<String, HttpError> {
    let text = required(&mut block, "text")?;
    take_cache_control(&mut block)?;
    refuse(&mut block, foreign::TEXT)?;
    block.finish()?;
    Ok(text)
}

/// Prompts are cached whether or not a client marks what is worth it, so that the wish is granted.
pub(super) fn take_cache_control(fields: &mut Fields) -> Result<(), HttpError> {
    let path = fields.path("cache_control");
    let Some(value) = fields.take("cache_control") else {
        return Ok(());
    };
    let mut control = Fields::of(path, value)?;
    let _granted_anyway = (control.text("type")?, control.text("ttl")?);
    control.finish()
}

fn result_of(mut block: Fields) -> Result<Message, HttpError> {
    let call_id = required(&mut block, "tool_use_id")?;
    let path = block.path("content");
    let content = block.take("content").map(|it| texts(&path, it));
    let content = content.transpose()?.unwrap_or_default();
    let failed = block.flag("is_error")?.unwrap_or(false);
    take_cache_control(&mut block)?;
    block.finish()?;
    let content = if failed {
        FAILED.to_owned() + &content
    } else {
        content
    };
    Ok(Message {
        call_id: Some(call_id),
        ..Message::text(Role::Tool, content)
    })
}

fn call_of(mut block: Fields) -> Result<ToolCall, HttpError> {
    let id = required(&mut block, "id")?;
    let name = take_name(&mut block)?;
    let param = block.path("input");
    let arguments = match block.take("input") {
        Some(input @ Value::Object(_)) => input.to_string(),
        Some(other) => return Err(wrong(&param, "be an object", &other)),
        None => return Err(missing(param, "must be an object")),
    };
    take_cache_control(&mut block)?;
    block.finish()?;
    Ok(ToolCall {
        id,
        name,
        arguments,
    })
}

/// Thoughts are not signed here, so any signature will do.
fn thought_of(mut block: Fields) -> Result<String, HttpError> {
    let thought = required(&mut block, "thinking")?;
    let _not_checked = block.text("signature")?;
    block.finish()?;
    Ok(thought)
}

fn required(fields: &mut Fields, name: &str) -> Result<String, HttpError> {
    let param = fields.path(name);
    fields
        .text(name)?
        .ok_or_else(|| missing(param, "must be a string"))
}
