//! `GET /v1/models`.

use sconce_pipeline::ModelEntry;
use serde::Serialize;

/// A model as clients list it.
#[derive(Debug, Serialize)]
pub(crate) struct ModelObject {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// vLLM's name for the context; clients read it to size their prompts.
    max_model_len: u32,
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
            max_model_len: entry.context.0,
        }
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
