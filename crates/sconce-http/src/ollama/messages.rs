//! The messages of a chat. Calls and the answers to them come without names; they get some here, by their
//! places, as templates want them.

use sconce_domain::{Message, Role, ToolCall};
use serde_json::Value;

use super::foreign;
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::foreign::refuse;
use crate::wire::functions::{missing, take_list, take_name};
use crate::wire::strict_json::shown;

/// Calls that have no answer yet, in their order.
#[derive(Debug, Default)]
struct Unanswered {
    calls: Vec<(String, String)>,
    named: usize,
}

pub(super) fn take_messages(fields: &mut Fields) -> Result<Vec<Message>, HttpError> {
    let mut unanswered = Unanswered::default();
    let items = take_list(fields, "messages")?.into_iter().enumerate();
    items
        .map(|(index, item)| message(format!("messages[{index}]"), item, &mut unanswered))
        .collect()
}

fn message(path: String, item: Value, unanswered: &mut Unanswered) -> Result<Message, HttpError> {
    let mut fields = Fields::of(path, item)?;
    let role = take_role(&mut fields)?;
    let mut message = Message::text(role, fields.text("content")?.unwrap_or_default());
    if role == Role::Assistant {
        message.reasoning = fields.text("thinking")?.filter(|it| !it.is_empty());
        message.calls = take_calls(&mut fields, unanswered)?;
    }
    if role == Role::Tool {
        let name = fields.text("tool_name")?;
        let id = fields.text("tool_call_id")?;
        message.call_id = id.or_else(|| unanswered.answered(name.as_deref()));
    }
    refuse(&mut fields, foreign::MESSAGE)?;
    fields.finish()?;
    Ok(message)
}

fn take_role(fields: &mut Fields) -> Result<Role, HttpError> {
    let param = fields.path("role");
    let known = "system, user, assistant or tool";
    match fields.text("role")?.as_deref() {
        Some("system") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool") => Ok(Role::Tool),
        Some(other) => {
            let message = format!("`{param}` is `{}`; this server knows {known}", shown(other));
            Err(HttpError::field(param, message))
        }
        None => Err(missing(param, &format!("must be {known}"))),
    }
}

fn take_calls(
    message: &mut Fields,
    unanswered: &mut Unanswered,
) -> Result<Vec<ToolCall>, HttpError> {
    let path = message.path("tool_calls");
    let items = take_list(message, "tool_calls")?.into_iter().enumerate();
    items
        .map(|(index, item)| call(format!("{path}[{index}]"), item, unanswered))
        .collect()
}

fn call(path: String, item: Value, unanswered: &mut Unanswered) -> Result<ToolCall, HttpError> {
    let mut fields = Fields::of(path, item)?;
    let id = fields.text("id")?;
    let _always_function = fields.text("type")?;
    let param = fields.path("function");
    let Some(function) = fields.take("function") else {
        return Err(missing(param, "must be an object with a `name`"));
    };
    fields.finish()?;
    let mut function = Fields::of(param, function)?;
    let name = take_name(&mut function)?;
    let _place = function.count("index", 0..=u32::MAX)?;
    let _told_with_the_function = function.text("description")?;
    let arguments = match function.take("arguments") {
        None => "{}".to_owned(),
        Some(object @ Value::Object(_)) => object.to_string(),
        Some(other) => return Err(function.wrong("arguments", "be an object", &other)),
    };
    function.finish()?;
    Ok(ToolCall {
        id: unanswered.called(id, &name),
        name,
        arguments,
    })
}

impl Unanswered {
    /// The name of a call: its own, or nine letters, which every template takes.
    fn called(&mut self, id: Option<String>, function: &str) -> String {
        self.named += 1;
        let id = id.unwrap_or_else(|| format!("call{:05}", self.named));
        self.calls.push((id.clone(), function.to_owned()));
        id
    }

    /// The first call that has no answer yet: of the function, if one is named and was called.
    fn answered(&mut self, function: Option<&str>) -> Option<String> {
        let of = |it: &(String, String)| function.is_some_and(|name| it.1 == name);
        let place = self.calls.iter().position(of).unwrap_or(0);
        (place < self.calls.len()).then(|| self.calls.remove(place).0)
    }
}
