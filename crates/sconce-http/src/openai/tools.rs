//! The functions that a chat may call, and the calls of earlier turns.

use sconce_domain::{Tool, ToolCall, ToolChoice, ToolUse};
use serde_json::Value;

use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::functions::{missing, take_function, take_functions, take_list, take_name};
use crate::wire::strict_json::shown;

/// `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn take_tools(fields: &mut Fields) -> Result<ToolUse, HttpError> {
    let usual = ToolUse::default();
    let tools = take_functions(fields)?;
    let choice = match fields.take("tool_choice") {
        None => usual.choice,
        Some(value) => tool_choice(value, &tools)?,
    };
    Ok(ToolUse {
        tools,
        choice,
        parallel: fields
            .flag("parallel_tool_calls")?
            .unwrap_or(usual.parallel),
    })
}

fn tool_choice(value: Value, tools: &[Tool]) -> Result<ToolChoice, HttpError> {
    const FIELD: &str = "tool_choice";
    let choice = match value {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            other => {
                let message = format!(
                    "`{FIELD}` is `{}`; this server knows none, auto, required or a function",
                    shown(other)
                );
                return Err(HttpError::field(FIELD, message));
            }
        },
        value => {
            let mut function = take_function(FIELD.to_owned(), value, |_| Ok(()))?;
            let name = take_name(&mut function)?;
            function.finish()?;
            if !tools.iter().any(|it| it.name == name) {
                let message = format!("`{FIELD}` names `{name}`, which is not among `tools`");
                return Err(HttpError::field(FIELD, message));
            }
            ToolChoice::Named(name)
        }
    };
    if choice == ToolChoice::Required && tools.is_empty() {
        let message = format!("`{FIELD}` requires a call and `tools` has no function");
        return Err(HttpError::field(FIELD, message));
    }
    Ok(choice)
}

/// The calls of an earlier turn.
pub(super) fn take_calls(message: &mut Fields) -> Result<Vec<ToolCall>, HttpError> {
    let path = message.path("tool_calls");
    let items = take_list(message, "tool_calls")?;
    let calls = items.into_iter().enumerate();
    calls
        .map(|(index, item)| call(format!("{path}[{index}]"), item))
        .collect()
}

fn call(path: String, item: Value) -> Result<ToolCall, HttpError> {
    let mut id = None;
    let mut function = take_function(path.clone(), item, |call| {
        // What a stream numbered its calls with comes back from clients that store its pieces.
        let _place = call.count("index", 0..=u32::MAX)?;
        id = call.text("id")?;
        Ok(())
    })?;
    let Some(id) = id else {
        return Err(missing(format!("{path}.id"), "must be a string"));
    };
    let name = take_name(&mut function)?;
    let param = function.path("arguments");
    let Some(arguments) = function.text("arguments")? else {
        return Err(missing(param, "must be a string of JSON"));
    };
    function.finish()?;
    Ok(ToolCall {
        id,
        name,
        arguments,
    })
}
