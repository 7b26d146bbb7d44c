//! The functions that a chat may call, and the calls of earlier turns.

use sconce_domain::{Tool, ToolCall, ToolChoice, ToolUse};
use serde_json::Value;

use super::fields::Fields;
use super::strict_json::shown;
use crate::error::HttpError;

/// Functions of one request.
const TOOLS_MAX: usize = 128;
/// Bytes of a function's name.
const NAME_BYTES_MAX: usize = 64;

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

fn take_functions(fields: &mut Fields) -> Result<Vec<Tool>, HttpError> {
    let items = take_list(fields, "tools")?;
    if items.len() > TOOLS_MAX {
        let count = items.len();
        let message = format!("`tools` has {count} functions, at most {TOOLS_MAX} are taken");
        return Err(HttpError::field("tools", message));
    }
    let mut tools: Vec<Tool> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let tool = tool(index, item)?;
        if tools.iter().any(|it| it.name == tool.name) {
            let param = format!("tools[{index}].function.name");
            let message = format!("`{param}` is `{}`, as an earlier one is", tool.name);
            return Err(HttpError::field(param, message));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(index: usize, item: Value) -> Result<Tool, HttpError> {
    let mut function = take_function(format!("tools[{index}]"), item, |_| Ok(()))?;
    let tool = Tool {
        name: take_name(&mut function)?,
        description: function.text("description")?,
        parameters: match function.take("parameters") {
            None => None,
            Some(schema @ Value::Object(_)) => Some(schema.to_string()),
            Some(other) => return Err(function.wrong("parameters", "be a JSON Schema", &other)),
        },
        is_strict: function.flag("strict")?.unwrap_or(false),
    };
    function.finish()?;
    Ok(tool)
}

/// The fields of `function` in an object of the type `function`; `rest` takes what stands beside it.
fn take_function(
    path: String,
    value: Value,
    rest: impl FnOnce(&mut Fields) -> Result<(), HttpError>,
) -> Result<Fields, HttpError> {
    let mut fields = Fields::of(path, value)?;
    rest(&mut fields)?;
    let param = fields.path("type");
    match fields.text("type")?.as_deref() {
        Some("function") => {}
        Some(other) => {
            let note = format!(" as `{}`, only as `function`", shown(other));
            return Err(HttpError::Unsupported { param, note });
        }
        None => return Err(missing(param, "must be `function`")),
    }
    let param = fields.path("function");
    let Some(function) = fields.take("function") else {
        return Err(missing(param, "must be an object with a `name`"));
    };
    fields.finish()?;
    Fields::of(param, function)
}

fn take_name(function: &mut Fields) -> Result<String, HttpError> {
    let param = function.path("name");
    let Some(name) = function.text("name")? else {
        return Err(missing(param, "must be a string"));
    };
    let is_letter = |it: char| it.is_ascii_alphanumeric() || "_-.".contains(it);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_letter) {
        return Ok(name);
    }
    let message =
        format!("`{param}` must have 1 to {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`");
    Err(HttpError::field(param, message))
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

fn take_list(fields: &mut Fields, name: &str) -> Result<Vec<Value>, HttpError> {
    match fields.take(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(fields.wrong(name, "be a list", &other)),
    }
}

fn missing(param: String, must: &str) -> HttpError {
    let message = format!("`{param}` is missing; it {must}");
    HttpError::field(param, message)
}
