//! `POST /api/embed`, and `POST /api/embeddings` as it was before.

use std::time::Instant;

use sconce_pipeline::{EmbedRequest, Embedded, Overlong, Prompt};
use serde_json::{Value, json};

use super::foreign;
use super::request::{AskedModel, take_model};
use crate::error::HttpError;
use crate::wire::fields::{Fields, wrong};
use crate::wire::foreign::refuse;
use crate::wire::functions::missing;
use crate::wire::strict_json;

/// More numbers than any vector has.
const DIMENSIONS_MAX: u32 = 65_536;
const MUST: &str = "be a string or a list of strings";

/// Reads texts that are to become vectors of length one.
pub(super) fn parse_embed(body: &[u8]) -> Result<(AskedModel, EmbedRequest), HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = take_model(&mut fields)?;
    let texts = match fields.take("input") {
        Some(Value::String(text)) => vec![Prompt::Text(text)],
        Some(Value::Array(items)) if !items.is_empty() => {
            let items = items.into_iter().enumerate();
            items
                .map(|(index, item)| text(index, item))
                .collect::<Result<_, _>>()?
        }
        Some(other) => return Err(fields.wrong("input", MUST, &other)),
        None => return Err(missing("input".to_owned(), &format!("must {MUST}"))),
    };
    let request = EmbedRequest {
        overlong: match fields.flag("truncate")? {
            Some(false) => Overlong::Refused,
            Some(true) | None => Overlong::Cut { tokens_max: None },
        },
        dimensions: fields.count("dimensions", 1..=DIMENSIONS_MAX)?,
        ..request(&model, texts)
    };
    refuse(&mut fields, foreign::EMBED)?;
    fields.finish()?;
    Ok((model, request))
}

/// Reads a text whose vector is wanted as the encoder gives it.
pub(super) fn parse_embeddings(body: &[u8]) -> Result<EmbedRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = take_model(&mut fields)?;
    let Some(prompt) = fields.text("prompt")? else {
        return Err(missing("prompt".to_owned(), "must be a string"));
    };
    refuse(&mut fields, foreign::EMBED)?;
    fields.finish()?;
    Ok(EmbedRequest {
        normalised: false,
        ..request(&model, vec![Prompt::Text(prompt)])
    })
}

/// The vectors, and what they cost.
pub(super) fn embedded(model: AskedModel, done: Embedded, since: Instant) -> Value {
    let total = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
    json!({
        "model": model.0.unwrap_or_else(|| done.model.to_string()),
        "embeddings": done.vectors,
        "total_duration": total,
        "load_duration": 0,
        "prompt_eval_count": done.tokens.0,
    })
}

fn request(model: &AskedModel, texts: Vec<Prompt>) -> EmbedRequest {
    EmbedRequest {
        model: model.name(),
        texts,
        overlong: Overlong::Cut { tokens_max: None },
        normalised: true,
        dimensions: None,
        user: None,
    }
}

fn text(index: usize, item: Value) -> Result<Prompt, HttpError> {
    match item {
        Value::String(text) => Ok(Prompt::Text(text)),
        other => Err(wrong(&format!("input[{index}]"), "be a string", &other)),
    }
}
