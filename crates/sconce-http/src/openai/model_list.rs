//! `GET /v1/models`, and the bodies that load and unload models.

use sconce_pipeline::{ModelEntry, ModelStatus};
use serde::Serialize;

use crate::error::HttpError;
use crate::wire::fields::Fields;
use crate::wire::strict_json;

/// The name in a body that loads or unloads a model.
pub(crate) fn parse_model_name(body: &[u8]) -> Result<String, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let name = fields
        .text("model")?
        .ok_or_else(|| HttpError::field("model", "`model` is missing; it must be a string"))?;
    fields.finish()?;
    Ok(name)
}

/// A model as clients list it.
#[derive(Debug, Serialize)]
pub(crate) struct ModelObject {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// vLLM's name for the context; clients read it to size their prompts. Not known before the
    /// model's file has been read.
    max_model_len: Option<u32>,
    status: StatusObject,
}

/// How a model stands, as llama-server's router says it.
#[derive(Debug, Serialize)]
struct StatusObject {
    value: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// All models.
#[derive(Debug, Serialize)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<ModelObject>,
}

impl From<ModelEntry> for ModelObject {
    fn from(entry: ModelEntry) -> Self {
        Self {
            id: entry.name,
            object: "model",
            created: entry.created_s,
            owned_by: "sconce",
            max_model_len: entry.context.map(|it| it.0),
            status: entry.status.into(),
        }
    }
}

impl From<ModelStatus> for StatusObject {
    fn from(status: ModelStatus) -> Self {
        let value = match &status {
            ModelStatus::Ready => "loaded",
            // It will be loaded, and a request need not wait for that to be asked for.
            ModelStatus::Declared => "unloaded",
            other => other.as_str(),
        };
        let reason = match status {
            ModelStatus::Failed { fact } => Some(fact),
            _ => None,
        };
        Self { value, reason }
    }
}

impl From<Vec<ModelEntry>> for ModelList {
    fn from(entries: Vec<ModelEntry>) -> Self {
        Self {
            object: "list",
            data: entries.into_iter().map(ModelObject::from).collect(),
        }
    }
}
