//! `POST /v1/rerank`, as Cohere and Jina have it, and `POST /v1/score`, as vLLM has it.

use sconce_pipeline::{FitRequest, Fitted};
use serde::Serialize;
use serde_json::Value;

use super::embeddings::{TextUsage, take_overlong};
use crate::error::HttpError;
use crate::wire::fields::{Fields, wrong};
use crate::wire::strict_json;

/// Documents to be put in order.
#[derive(Debug)]
pub(crate) struct RerankRequest {
    pub(crate) fit: FitRequest,
    top_n: usize,
    returns_documents: bool,
}

/// What the answer needs of the request.
#[derive(Debug)]
pub(crate) struct RerankShape {
    top_n: usize,
    documents: Option<Vec<String>>,
}

/// Documents, the best first.
#[derive(Debug, Serialize)]
pub(crate) struct RankedList {
    id: String,
    model: String,
    results: Vec<Ranked>,
    usage: TextUsage,
}

#[derive(Debug, Serialize)]
struct Ranked {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

#[derive(Debug, Serialize)]
struct Document {
    text: String,
}

/// Scores of pairs, in their order.
#[derive(Debug, Serialize)]
pub(crate) struct ScoreList {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<ScoreObject>,
    usage: TextUsage,
}

#[derive(Debug, Serialize)]
struct ScoreObject {
    index: usize,
    object: &'static str,
    score: f32,
}

pub(crate) fn parse_rerank(body: &[u8]) -> Result<RerankRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let query = fields
        .text("query")?
        .ok_or_else(|| HttpError::field("query", "`query` is missing; it must be a string"))?;
    let documents = take_documents(&mut fields)?;
    let top_n = fields.count("top_n", 1..=u32::MAX)?;
    let request = RerankRequest {
        top_n: top_n.map_or(usize::MAX, |it| it as usize),
        returns_documents: fields.flag("return_documents")?.unwrap_or(false),
        fit: FitRequest {
            model,
            firsts: vec![query],
            seconds: documents,
            fields: ["query", "documents"],
            overlong: take_overlong(&mut fields)?,
            second_tokens_max: fields.count("max_tokens_per_doc", 1..=u32::MAX)?,
            user: fields.text("user")?,
        },
    };
    fields.finish()?;
    Ok(request)
}

pub(crate) fn parse_score(body: &[u8]) -> Result<FitRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let first = fields.take("text_1");
    let firsts = texts("text_1", first)?;
    let second = fields.take("text_2");
    let seconds = texts("text_2", second)?;
    if firsts.len() != 1 && firsts.len() != seconds.len() {
        let message = format!(
            "`text_1` has {} texts and `text_2` {}; `text_1` must have one, or as many as `text_2`",
            firsts.len(),
            seconds.len()
        );
        return Err(HttpError::field("text_1", message));
    }
    let request = FitRequest {
        model,
        firsts,
        seconds,
        fields: ["text_1", "text_2"],
        overlong: take_overlong(&mut fields)?,
        second_tokens_max: None,
        user: fields.text("user")?,
    };
    fields.finish()?;
    Ok(request)
}

/// Texts, or objects that have one each.
fn take_documents(fields: &mut Fields) -> Result<Vec<String>, HttpError> {
    const MUST: &str = "be a list of strings, or of objects with a `text`";
    match fields.take("documents") {
        Some(Value::Array(items)) if !items.is_empty() => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| document(format!("documents[{index}]"), item))
            .collect(),
        Some(Value::Array(_)) => Err(HttpError::field(
            "documents",
            "`documents` is an empty list; give at least one",
        )),
        Some(other) => Err(wrong("documents", MUST, &other)),
        None => Err(HttpError::field(
            "documents",
            format!("`documents` is missing; it must {MUST}"),
        )),
    }
}

fn document(path: String, item: Value) -> Result<String, HttpError> {
    match item {
        Value::String(text) => Ok(text),
        Value::Object(_) => {
            let mut fields = Fields::of(path, item)?;
            let text = fields.text("text")?;
            let path = fields.path("text");
            fields.finish()?;
            text.ok_or_else(|| {
                let message = format!("`{path}` is missing; it must be a string");
                HttpError::field(path, message)
            })
        }
        other => Err(wrong(
            &path,
            "be a string or an object with a `text`",
            &other,
        )),
    }
}

/// One text or a list of them.
fn texts(field: &str, value: Option<Value>) -> Result<Vec<String>, HttpError> {
    const MUST: &str = "be a string or a list of strings";
    match value {
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(items)) if !items.is_empty() => {
            let text = |(index, item)| match item {
                Value::String(text) => Ok(text),
                other => Err(wrong(&format!("{field}[{index}]"), "be a string", &other)),
            };
            items.into_iter().enumerate().map(text).collect()
        }
        Some(Value::Array(_)) => Err(HttpError::field(
            field,
            format!("`{field}` is an empty list; give at least one text"),
        )),
        Some(other) => Err(wrong(field, MUST, &other)),
        None => Err(HttpError::field(
            field,
            format!("`{field}` is missing; it must {MUST}"),
        )),
    }
}

impl RerankRequest {
    /// What to ask for, and what the answer is to look like.
    pub(crate) fn split(self) -> (FitRequest, RerankShape) {
        let documents = self.returns_documents.then(|| self.fit.seconds.clone());
        let shape = RerankShape {
            top_n: self.top_n,
            documents,
        };
        (self.fit, shape)
    }
}

impl RankedList {
    pub(crate) fn new(id: u64, fitted: Fitted, shape: RerankShape) -> Self {
        let mut order: Vec<(usize, f32)> = fitted.scores.into_iter().enumerate().collect();
        // Stable: of equals, the earlier document comes first.
        order.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        order.truncate(shape.top_n);
        let mut documents = shape.documents;
        let ranked = |(index, relevance_score): (usize, f32)| Ranked {
            index,
            relevance_score,
            document: documents.as_mut().map(|it| Document {
                text: std::mem::take(&mut it[index]),
            }),
        };
        Self {
            id: format!("rerank-{id:016x}"),
            model: fitted.model.to_string(),
            results: order.into_iter().map(ranked).collect(),
            usage: TextUsage::of(fitted.tokens.0),
        }
    }
}

impl ScoreList {
    pub(crate) fn new(id: u64, created: u64, fitted: Fitted) -> Self {
        let object = |(index, score)| ScoreObject {
            index,
            object: "score",
            score,
        };
        Self {
            id: format!("score-{id:016x}"),
            object: "list",
            created,
            model: fitted.model.to_string(),
            data: fitted.scores.into_iter().enumerate().map(object).collect(),
            usage: TextUsage::of(fitted.tokens.0),
        }
    }
}
