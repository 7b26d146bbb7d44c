//! Ollama's API, as far as it asks models and lists them. What changes the store of models is not here.

mod answer;
mod embed;
mod foreign;
mod messages;
mod models;
mod options;
mod request;

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sconce_domain::Priority;
use sconce_pipeline::{AskKind, Edges, ModelKind};
use serde_json::{Value, json};

use self::answer::{OllamaDialect, Shape, loaded};
use self::embed::{embedded, parse_embed, parse_embeddings};
use self::models::{parse_show, running, shown, tags};
use self::request::{AskedModel, OllamaRequest, parse_chat, parse_generate};
use crate::access::Authorized;
use crate::asked::Asked;
use crate::deliver::{Waiting, deliver};
use crate::error::HttpError;
use crate::routes::HttpState;

/// The release of Ollama whose API this is: clients ask for it to know what they may send.
const VERSION: &str = "0.13.0";

pub(crate) async fn chat(asked: Asked) -> Result<Response, HttpError> {
    answer(asked, Shape::Chat).await
}

pub(crate) async fn generate(asked: Asked) -> Result<Response, HttpError> {
    answer(asked, Shape::Generate).await
}

async fn answer(mut asked: Asked, shape: Shape) -> Result<Response, HttpError> {
    let (id, client) = (asked.id, asked.client.clone());
    let parse = |body: &[u8]| {
        client.check_priority(Priority::default())?;
        match shape {
            Shape::Chat => parse_chat(id, body),
            Shape::Generate => parse_generate(id, body),
        }
    };
    let kind = match shape {
        Shape::Chat => AskKind::Chat,
        Shape::Generate => AskKind::Completion,
    };
    let (arrival, OllamaRequest { model, parsed }) = asked.read(kind, parse).await?;
    let pipeline = &asked.state.pipeline;
    let Some(parsed) = parsed else {
        // The tokens of nothing need the model, and so it is loaded.
        let name = model.name();
        let nothing = (String::new(), Edges::None);
        pipeline
            .tokenize(arrival, name.as_deref(), nothing.0, nothing.1)
            .await?;
        let model = model.0.unwrap_or_default();
        return Ok(Json(loaded(shape, model)).into_response());
    };
    let waiting = Waiting::new(&asked.state, arrival, parsed);
    let dialect = move |name: &str| {
        let model = model.0.unwrap_or_else(|| name.to_owned());
        OllamaDialect::new(shape, model)
    };
    deliver(waiting, dialect).await
}

pub(crate) async fn embed(mut asked: Asked) -> Result<Json<Value>, HttpError> {
    let since = Instant::now();
    let (arrival, (model, request)) = asked.read(AskKind::Embedding, parse_embed).await?;
    let done = asked.state.pipeline.embed(arrival, request).await?;
    Ok(Json(embedded(model, done, since)))
}

pub(crate) async fn embeddings(mut asked: Asked) -> Result<Json<Value>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Embedding, parse_embeddings).await?;
    let done = asked.state.pipeline.embed(arrival, request).await?;
    Ok(Json(json!({"embedding": done.vectors.first()})))
}

pub(crate) async fn list(State(state): State<HttpState>, client: Authorized) -> Json<Value> {
    Json(tags(state.pipeline.model_entries_for(&client.caller)))
}

pub(crate) async fn loaded_models(
    State(state): State<HttpState>,
    client: Authorized,
) -> Json<Value> {
    Json(running(state.pipeline.model_entries_for(&client.caller)))
}

pub(crate) async fn show(mut asked: Asked) -> Result<Json<Value>, HttpError> {
    let caller = asked.client.caller.clone();
    let model: AskedModel = asked.read_unrecorded(parse_show).await?;
    let name = model.name().unwrap_or_default();
    let pipeline = &asked.state.pipeline;
    let entry = pipeline.model_entry_for(&caller, &name)?;
    let facts = match entry.kind {
        ModelKind::Generator => Some(pipeline.tokenizer_facts(&caller, Some(&name)).await?),
        ModelKind::Encoder => None,
    };
    Ok(Json(shown(&entry, facts.as_ref())))
}

pub(crate) async fn version(_: Authorized) -> Json<Value> {
    Json(json!({"version": VERSION, "sconce": env!("CARGO_PKG_VERSION")}))
}

pub(crate) async fn alive(_: Authorized) -> &'static str {
    "Ollama is running"
}
