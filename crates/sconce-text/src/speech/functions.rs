//! The functions that an answer may call, and what their schemas say of a value written as text.

use sconce_domain::Tool;
use serde_json::Value;

/// Schemas in schemas that are looked into.
const DEPTH_MAX: u32 = 8;
/// A function's name has no more bytes.
const NAME_BYTES_MAX: usize = 256;

/// The functions that an answer may call.
#[derive(Debug, Default)]
pub(super) struct Functions {
    tools: Vec<Tool>,
}

impl Functions {
    pub(super) fn new(tools: Vec<Tool>) -> Self {
        Self { tools }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|it| it.name == name)
    }

    /// The schemas of a function's parameters, by name.
    pub(super) fn parameters_of(&self, name: &str) -> Option<Value> {
        let tool = self.tools.iter().find(|it| it.name == name)?;
        let mut schema: Value = serde_json::from_str(tool.parameters.as_deref()?).ok()?;
        Some(schema.get_mut("properties")?.take())
    }
}

/// Whether a function may be called so, as far as letters go.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_name_letter)
}

pub(super) fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || "_-.".contains(letter)
}

/// A value that was written as text, in JSON: what its schema says it is, if it can be that.
pub(super) fn json_of(text: &str, schema: Option<&Value>) -> String {
    let mut kinds = Vec::new();
    if let Some(schema) = schema {
        add_kinds(schema, DEPTH_MAX, &mut kinds);
    }
    let may_be = |kind: &str| kinds.contains(&kind);
    let as_text = || Value::from(text).to_string();
    let Some((kind, json)) = json_value(text) else {
        return as_text();
    };
    let fits = may_be(kind) || (kind == "integer" && may_be("number"));
    if kind == "string" || (may_be("string") && !fits) {
        return as_text();
    }
    json.to_owned()
}

/// The kind of a value that is JSON, or a literal of Python's, and its JSON.
fn json_value(text: &str) -> Option<(&'static str, &str)> {
    let written = match text.trim() {
        "True" => "true",
        "False" => "false",
        "None" => "null",
        other => other,
    };
    let kind = match serde_json::from_str(written).ok()? {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() && written.contains(['.', 'e', 'E']) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Some((kind, written))
}

/// What a value of this schema may be; nothing where it does not say.
fn add_kinds<'s>(schema: &'s Value, depth: u32, kinds: &mut Vec<&'s str>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    match &schema["type"] {
        Value::String(kind) => kinds.push(kind),
        Value::Array(several) => kinds.extend(several.iter().filter_map(Value::as_str)),
        _ => {}
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let several = schema[key].as_array();
        for inner in several.into_iter().flatten() {
            add_kinds(inner, depth, kinds);
        }
    }
    let values = schema["enum"].as_array();
    let values = values.into_iter().flatten().chain(schema.get("const"));
    if schema.get("type").is_none() && values.into_iter().any(Value::is_string) {
        kinds.push("string");
    }
}
