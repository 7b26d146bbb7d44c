//! A chat in the shape that templates expect, which is OpenAI's with arguments as objects.

use sconce_domain::{Message, Tool, ToolCall};
use serde_json::{Value as Json, json};

pub(super) fn message(message: &Message) -> Json {
    let mut shape = json!({"role": message.role.as_str(), "content": message.content});
    if let Some(reasoning) = &message.reasoning {
        shape["reasoning_content"] = Json::from(reasoning.as_str());
    }
    if let Some(id) = &message.call_id {
        shape["tool_call_id"] = Json::from(id.as_str());
    }
    // Templates ask whether the key is there, not what is in it.
    if !message.calls.is_empty() {
        shape["tool_calls"] = message.calls.iter().map(call).collect();
    }
    shape
}

/// Arguments that are no JSON stay the text that the model wrote.
fn call(call: &ToolCall) -> Json {
    let text = call.arguments.as_str();
    let arguments: Json = serde_json::from_str(text).unwrap_or_else(|_| Json::from(text));
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    })
}

/// Many templates read a function's parameters without asking whether there are any.
pub(super) fn tool(tool: &Tool) -> Json {
    let schema = tool.parameters.as_deref();
    let parameters = schema.and_then(|it| serde_json::from_str(it).ok());
    let parameters: Json =
        parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let description = tool.description.as_deref().unwrap_or_default();
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": description,
            "parameters": parameters,
        },
    })
}

/// Adds `lesson` to the instructions.
pub(super) fn teach(messages: &mut Vec<Json>, lesson: &str) {
    if let Some(first) = messages.first_mut()
        && first["role"] == "system"
    {
        let before = first["content"].as_str().unwrap_or_default();
        first["content"] = Json::from(format!("{before}\n\n{lesson}"));
    } else {
        messages.insert(0, json!({"role": "system", "content": lesson}));
    }
}
