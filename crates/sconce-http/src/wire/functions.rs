//! Functions that a model may call, as far as all dialects write them alike.

use sconce_domain::{Tool, ToolCall, ToolChoice, ToolUse};
use sconce_pipeline::AnswerOptions;
use serde_json::Value;

use super::fields::Fields;
use super::strict_json::shown;
use crate::error::HttpError;

/// Functions of one request.
const TOOLS_MAX: usize = 128;
/// Bytes of a function's name.
const NAME_BYTES_MAX: usize = 64;

/// The functions in the field `tools`, each read by `read`. `name_path` leads from one to its name.
pub(crate) fn take_tools(
    fields: &mut Fields,
    name_path: &str,
    mut read: impl FnMut(usize, Value) -> Result<Tool, HttpError>,
) -> Result<Vec<Tool>, HttpError> {
    let items = take_list(fields, "tools")?;
    if items.len() > TOOLS_MAX {
        let count = items.len();
        let message = format!("`tools` has {count} functions, at most {TOOLS_MAX} are taken");
        return Err(HttpError::field("tools", message));
    }
    let mut tools: Vec<Tool> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let tool = read(index, item)?;
        if tools.iter().any(|it| it.name == tool.name) {
            let param = format!("tools[{index}]{name_path}");
            let message = format!("`{param}` is `{}`, as an earlier one is", tool.name);
            return Err(HttpError::field(param, message));
        }
        tools.push(tool);
    }
    Ok(tools)
}

/// A function's name.
pub(crate) fn take_name(function: &mut Fields) -> Result<String, HttpError> {
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

/// The items of a list that may be left out.
pub(crate) fn take_list(fields: &mut Fields, name: &str) -> Result<Vec<Value>, HttpError> {
    match fields.take(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(fields.wrong(name, "be a list", &other)),
    }
}

/// An error about a field that must be there.
pub(crate) fn missing(param: String, must: &str) -> HttpError {
    let message = format!("`{param}` is missing; it {must}");
    HttpError::field(param, message)
}

/// A call that is required is a form already, and so is one that must fit its schema if it is made.
pub(crate) fn check_one_form(options: &AnswerOptions) -> Result<(), HttpError> {
    let ToolUse { choice, tools, .. } = &options.tools;
    match (&options.grammar, choice) {
        (Some(asked), ToolChoice::Auto) if tools.iter().any(|it| it.is_strict) => {
            let field = asked.field;
            let message =
                format!("a function of `tools` is strict and `{field}` asks for another form");
            Err(HttpError::field(field, message))
        }
        (Some(asked), ToolChoice::Required | ToolChoice::Named(_)) => {
            let field = asked.field;
            let message = format!("`tool_choice` requires a call and `{field}` another form");
            Err(HttpError::field(field, message))
        }
        _ => Ok(()),
    }
}

/// The functions in the field `tools`, as OpenAI writes them and others after it.
pub(crate) fn take_functions(fields: &mut Fields) -> Result<Vec<Tool>, HttpError> {
    take_tools(fields, ".function.name", tool)
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
pub(crate) fn take_function(
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

/// The arguments of a call as an object. What is none is told as the text that it is.
pub(crate) fn arguments_of(call: &ToolCall) -> Value {
    let parsed = serde_json::from_str(&call.arguments);
    parsed.unwrap_or_else(|_| Value::from(call.arguments.as_str()))
}
