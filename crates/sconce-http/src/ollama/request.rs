//! `POST /api/chat` and `POST /api/generate`, as they come.

use sconce_domain::{Message, RequestId, Role, ToolUse};
use sconce_pipeline::{AnswerOptions, AnswerRequest, Ask, Prompt};

use super::foreign;
use super::messages::take_messages;
use super::options::take_options;
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::foreign::refuse;
use crate::wire::functions::{check_one_form, take_functions};
use crate::wire::parsed::{Delivery, ParsedRequest};
use crate::wire::strict_json;

/// What every name may end with.
pub(super) const TAG: &str = ":latest";

/// The name of a model as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AskedModel(pub(super) Option<String>);

impl AskedModel {
    /// Without the tag that every model has.
    pub(super) fn name(&self) -> Option<String> {
        let name = self.0.as_deref()?;
        Some(name.strip_suffix(TAG).unwrap_or(name).to_owned())
    }
}

/// A request, and the model as it named it. Without a request the model is to be loaded.
#[derive(Debug)]
pub(super) struct OllamaRequest {
    pub(super) model: AskedModel,
    pub(super) parsed: Option<ParsedRequest>,
}

pub(super) fn take_model(fields: &mut Fields) -> Result<AskedModel, HttpError> {
    let named = fields.text("model")?;
    // The field's name until 2024.
    let older = fields.text("name")?;
    Ok(AskedModel(named.or(older)))
}

/// Reads a request for the next turn of a chat.
pub(super) fn parse_chat(id: RequestId, body: &[u8]) -> Result<OllamaRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = take_model(&mut fields)?;
    let messages = take_messages(&mut fields)?;
    let tools = take_functions(&mut fields)?;
    let ask = (!messages.is_empty()).then_some(Ask::Chat(messages));
    let tools = ToolUse {
        tools,
        ..ToolUse::default()
    };
    finish(id, fields, model, ask, tools)
}

/// Reads a request for the answer to a prompt.
pub(super) fn parse_generate(id: RequestId, body: &[u8]) -> Result<OllamaRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = take_model(&mut fields)?;
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let system = fields.text("system")?.unwrap_or_default();
    let is_raw = fields.flag("raw")?.unwrap_or(false);
    if is_raw && !system.is_empty() {
        let message = "`system` has no place in a prompt that is taken as it is with `raw`";
        return Err(HttpError::field("system", message));
    }
    refuse(&mut fields, foreign::GENERATE)?;
    let ask = match (prompt.is_empty(), is_raw) {
        (true, _) => None,
        (false, true) => Some(Ask::Completion(vec![Prompt::Text(prompt)])),
        (false, false) => {
            let system = (!system.is_empty()).then(|| Message::text(Role::System, system));
            let user = Message::text(Role::User, prompt);
            Some(Ask::Chat(system.into_iter().chain([user]).collect()))
        }
    };
    finish(id, fields, model, ask, ToolUse::default())
}

fn finish(
    id: RequestId,
    mut fields: Fields,
    model: AskedModel,
    ask: Option<Ask>,
    tools: ToolUse,
) -> Result<OllamaRequest, HttpError> {
    let options = AnswerOptions {
        tools,
        ..take_options(&mut fields)?
    };
    check_one_form(&options)?;
    let delivery = match fields.flag("stream")? {
        Some(false) => Delivery::Whole,
        Some(true) | None => Delivery::Stream,
    };
    refuse(&mut fields, foreign::REQUEST)?;
    fields.finish()?;
    let parsed = ask.map(|ask| ParsedRequest {
        request: AnswerRequest {
            id,
            model: model.name(),
            ask,
            options,
        },
        delivery,
    });
    Ok(OllamaRequest { model, parsed })
}
