//! `POST /v1/embeddings`, as OpenAI has it, with the fields by which others cut and normalise.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sconce_pipeline::{EmbedRequest, Embedded, Overlong, Prompt};
use serde::Serialize;
use serde_json::Value;

use crate::error::HttpError;
use crate::wire::fields::{Fields, token_ids, wrong};
use crate::wire::strict_json;

/// More numbers than any vector has.
const DIMENSIONS_MAX: u32 = 65_536;
const MUST: &str = "be a string, a list of strings, a list of token ids or a list of such lists";

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VectorFormat {
    /// As a list of numbers.
    Float,
    /// As the base64 of single-precision numbers, little-endian.
    Base64,
}

/// Vectors of texts.
#[derive(Debug, Serialize)]
pub(crate) struct EmbeddingList {
    object: &'static str,
    data: Vec<EmbeddingObject>,
    model: String,
    usage: TextUsage,
}

#[derive(Debug, Serialize)]
struct EmbeddingObject {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens of texts that were read.
#[derive(Debug, Serialize)]
pub(super) struct TextUsage {
    pub(super) prompt_tokens: u32,
    pub(super) total_tokens: u32,
}

impl TextUsage {
    pub(super) fn of(tokens: u32) -> Self {
        Self {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }
    }
}

pub(crate) fn parse_embed(body: &[u8]) -> Result<(EmbedRequest, VectorFormat), HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let request = EmbedRequest {
        model: fields.text("model")?,
        texts: take_texts(&mut fields)?,
        overlong: take_overlong(&mut fields)?,
        normalised: fields.flag("normalize")?.unwrap_or(true),
        dimensions: fields.count("dimensions", 1..=DIMENSIONS_MAX)?,
        user: fields.text("user")?,
    };
    let format = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => VectorFormat::Float,
        Some("base64") => VectorFormat::Base64,
        Some(_) => {
            let message = "`encoding_format` must be \"float\" or \"base64\"";
            return Err(HttpError::field("encoding_format", message));
        }
    };
    fields.finish()?;
    Ok((request, format))
}

/// What happens to a text that is too long: by TEI's field, or by vLLM's, of which -1 means the context.
pub(super) fn take_overlong(fields: &mut Fields) -> Result<Overlong, HttpError> {
    let is_cut = fields.flag("truncate")?.unwrap_or(false);
    let kept = fields.integer("truncate_prompt_tokens", -1..=i64::from(u32::MAX))?;
    match kept {
        Some(0) => {
            let message = "`truncate_prompt_tokens` must be -1 or at least 1, not 0";
            Err(HttpError::field("truncate_prompt_tokens", message))
        }
        Some(kept) => Ok(Overlong::Cut {
            tokens_max: u32::try_from(kept).ok(),
        }),
        None if is_cut => Ok(Overlong::Cut { tokens_max: None }),
        None => Ok(Overlong::Refused),
    }
}

/// A text, a list of texts, a list of token ids, or a list of such lists.
fn take_texts(fields: &mut Fields) -> Result<Vec<Prompt>, HttpError> {
    match fields.take("input") {
        Some(Value::String(text)) => Ok(vec![Prompt::Text(text)]),
        Some(Value::Array(items)) if items.is_empty() => {
            let message = "`input` is an empty list; give at least one text";
            Err(HttpError::field("input", message))
        }
        Some(Value::Array(items)) if items[0].is_number() => {
            Ok(vec![Prompt::Tokens(token_ids("input", &items)?)])
        }
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| text(&format!("input[{index}]"), item))
            .collect(),
        Some(other) => Err(wrong("input", MUST, &other)),
        None => Err(HttpError::field(
            "input",
            format!("`input` is missing; it must {MUST}"),
        )),
    }
}

fn text(path: &str, item: Value) -> Result<Prompt, HttpError> {
    match item {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(items) => token_ids(path, &items).map(Prompt::Tokens),
        other => Err(wrong(path, "be a string or a list of token ids", &other)),
    }
}

impl EmbeddingList {
    pub(crate) fn new(embedded: Embedded, format: VectorFormat) -> Self {
        let written = |vector: Vec<f32>| match format {
            VectorFormat::Float => Vector::Float(vector),
            VectorFormat::Base64 => {
                let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        };
        let object = |(index, vector)| EmbeddingObject {
            object: "embedding",
            index,
            embedding: written(vector),
        };
        Self {
            object: "list",
            data: embedded
                .vectors
                .into_iter()
                .enumerate()
                .map(object)
                .collect(),
            model: embedded.model.to_string(),
            usage: TextUsage::of(embedded.tokens.0),
        }
    }
}
