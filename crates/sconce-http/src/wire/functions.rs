//! Functions that a model may call, as far as all dialects write them alike.

use sconce_domain::{Tool, ToolChoice, ToolUse};
use sconce_pipeline::AnswerOptions;
use serde_json::Value;

use super::fields::Fields;
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
