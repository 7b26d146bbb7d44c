//! Models as Ollama lists and shows them. What is not known of one is told as empty.

use std::time::{Duration, UNIX_EPOCH};

use sconce_pipeline::{ModelEntry, ModelKind, ModelSkill, ModelStatus, TokenizerFacts};
use serde_json::{Value, json};

use super::request::{AskedModel, TAG, take_model};
use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::strict_json;

/// The name of a model in a request about it.
pub(super) fn parse_show(body: &[u8]) -> Result<AskedModel, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = take_model(&mut fields)?;
    // Nothing is left out of a short answer that a long one would have.
    let _all_is_told = fields.flag("verbose")?;
    fields.finish()?;
    if model.0.is_none() {
        let message = "`model` is missing; it must be a string";
        return Err(HttpError::field("model", message));
    }
    Ok(model)
}

/// All models.
pub(super) fn tags(entries: Vec<ModelEntry>) -> Value {
    let models: Vec<Value> = entries.iter().map(listed).collect();
    json!({"models": models})
}

/// The models that are loaded.
pub(super) fn running(entries: Vec<ModelEntry>) -> Value {
    let is_there =
        |it: &&ModelEntry| matches!(it.status, ModelStatus::Ready | ModelStatus::Draining);
    let models = entries.iter().filter(is_there).map(|entry| {
        let mut model = listed(entry);
        model["size_vram"] = 0.into();
        model["context_length"] = entry.context.map_or(0, |it| it.0).into();
        model
    });
    json!({"models": models.collect::<Vec<Value>>()})
}

/// A generator, with its tokenizer's facts, or an encoder.
pub(super) fn shown(entry: &ModelEntry, facts: Option<&TokenizerFacts>) -> Value {
    let mut capabilities = vec![match entry.kind {
        ModelKind::Generator => "completion",
        ModelKind::Encoder => "embedding",
    }];
    let skills = facts.map(|it| it.skills.as_slice()).unwrap_or_default();
    capabilities.extend(skills.iter().map(|it| match it {
        ModelSkill::Calls => "tools",
        ModelSkill::Thoughts => "thinking",
    }));
    let template = facts.and_then(|it| it.chat_template.as_deref());
    let context = entry.context.map_or(0, |it| it.0);
    json!({
        "modelfile": "",
        "parameters": "",
        "license": "",
        "template": template.unwrap_or_default(),
        "modified_at": modified_at(entry),
        "details": details(),
        // Clients look for the context under the architecture's name.
        "model_info": {"general.architecture": "sconce", "sconce.context_length": context},
        "capabilities": capabilities,
    })
}

fn listed(entry: &ModelEntry) -> Value {
    let name = tagged(&entry.name);
    json!({
        "name": name,
        "model": name,
        "modified_at": modified_at(entry),
        "size": entry.bytes,
        "digest": digest(entry),
        "details": details(),
    })
}

/// Every name has a tag.
fn tagged(name: &str) -> String {
    match name.contains(':') {
        true => name.to_owned(),
        false => format!("{name}{TAG}"),
    }
}

fn modified_at(entry: &ModelEntry) -> String {
    let created = UNIX_EPOCH + Duration::from_secs(entry.created_s);
    humantime::format_rfc3339_seconds(created).to_string()
}

fn details() -> Value {
    json!({
        "parent_model": "",
        "format": "",
        "family": "",
        "families": [],
        "parameter_size": "",
        "quantization_level": "",
    })
}

/// 64 digits that tell one entry from another, as clients show the first twelve of them. No hash of the
/// file: that would have to be read.
/// Source: Fowler, Noll and Vo, FNV-1a of 64 bits, once for each quarter.
fn digest(entry: &ModelEntry) -> String {
    let text = format!("{} {}", entry.name, entry.created_s);
    let quarter = |salt: u8| {
        let bytes = std::iter::once(salt).chain(text.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (0..4)
        .map(|salt| format!("{:016x}", quarter(salt)))
        .collect()
}
