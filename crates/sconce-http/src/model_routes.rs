//! `POST /models/load` and `POST /models/unload`, as llama-server's router has them, for administrators.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use sconce_pipeline::{Displaces, ModelStatus, Refusal};

use crate::access::Admin;
use crate::body::read_body;
use crate::error::HttpError;
use crate::openai::{ModelObject, parse_model_name};
use crate::routes::HttpState;

/// How soon to try again what could not be loaded.
const RETRY_AFTER_S: u32 = 10;

/// Loads a model and answers when it is there.
pub(crate) async fn load(
    State(state): State<HttpState>,
    _: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ModelObject>, HttpError> {
    let name = named(&state, &headers, body).await?;
    let entry = state.pipeline.load_model(&name, Displaces::Others).await?;
    match entry.status {
        ModelStatus::Failed { fact } => Err(HttpError::Refused(Refusal::ModelFailed {
            model: entry.name,
            fact,
            retry_after_s: RETRY_AFTER_S,
        })),
        _ => Ok(Json(entry.into())),
    }
}

/// Unloads a model and answers when its requests have ended and its memory is free.
pub(crate) async fn unload(
    State(state): State<HttpState>,
    _: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ModelObject>, HttpError> {
    let name = named(&state, &headers, body).await?;
    Ok(Json(state.pipeline.unload_model(&name).await?.into()))
}

/// The model that is meant. The body must say that it is JSON: a page in a browser may send other bodies
/// to any server, and so to one without keys on its own machine.
async fn named(state: &HttpState, headers: &HeaderMap, body: Body) -> Result<String, HttpError> {
    let body = read_body(body, headers, &state.limits).await?;
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let fact = "its content-type must be application/json here".to_owned();
        return Err(HttpError::Json { fact });
    }
    parse_model_name(&body)
}
