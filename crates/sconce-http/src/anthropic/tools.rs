//! The functions that a conversation may call.

use sconce_domain::{Tool, ToolChoice, ToolUse};
use serde_json::Value;

use super::blocks::take_cache_control;
use super::foreign;
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::foreign::refuse;
use crate::wire::functions::{missing, take_name, take_tools};
use crate::wire::strict_json::shown;

/// `tools` and `tool_choice`.
pub(super) fn take_tool_use(fields: &mut Fields) -> Result<ToolUse, HttpError> {
    let tools = take_tools(fields, ".name", tool)?;
    let usual = ToolUse::default();
    let (choice, parallel) = match fields.take("tool_choice") {
        None => (usual.choice, usual.parallel),
        Some(value) => tool_choice(value, &tools)?,
    };
    Ok(ToolUse {
        tools,
        choice,
        parallel,
    })
}

fn tool(index: usize, item: Value) -> Result<Tool, HttpError> {
    let mut fields = Fields::of(format!("tools[{index}]"), item)?;
    let param = fields.path("type");
    if let Some(other) = fields.text("type")?.filter(|it| it != "custom") {
        let note = format!(" as `{}`, only as `custom`", shown(&other));
        return Err(HttpError::Unsupported { param, note });
    }
    let name = take_name(&mut fields)?;
    let description = fields.text("description")?;
    let param = fields.path("input_schema");
    let parameters = match fields.take("input_schema") {
        Some(schema @ Value::Object(_)) => Some(schema.to_string()),
        Some(other) => return Err(fields.wrong("input_schema", "be a JSON Schema", &other)),
        None => return Err(missing(param, "must be a JSON Schema")),
    };
    let is_strict = fields.flag("strict")?.unwrap_or(false);
    take_cache_control(&mut fields)?;
    refuse(&mut fields, foreign::TOOL)?;
    fields.finish()?;
    Ok(Tool {
        name,
        description,
        parameters,
        is_strict,
    })
}

/// Whether functions are called, and whether several in one answer.
fn tool_choice(value: Value, tools: &[Tool]) -> Result<(ToolChoice, bool), HttpError> {
    let mut fields = Fields::of("tool_choice", value)?;
    let param = fields.path("type");
    let choice = match fields.text("type")?.as_deref() {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => ToolChoice::Named(take_name(&mut fields)?),
        Some(other) => {
            let message = format!(
                "`{param}` is `{}`; this server knows auto, any, tool and none",
                shown(other)
            );
            return Err(HttpError::field(param, message));
        }
        None => return Err(missing(param, "must be auto, any, tool or none")),
    };
    match &choice {
        ToolChoice::Required if tools.is_empty() => {
            let message = "`tool_choice` requires a call and `tools` has no function";
            return Err(HttpError::field(param, message));
        }
        ToolChoice::Named(name) if !tools.iter().any(|it| it.name == *name) => {
            let message = format!("`tool_choice` names `{name}`, which is not among `tools`");
            return Err(HttpError::field("tool_choice.name", message));
        }
        _ => {}
    }
    let single = fields.flag("disable_parallel_tool_use")?.unwrap_or(false);
    fields.finish()?;
    Ok((choice, !single))
}
