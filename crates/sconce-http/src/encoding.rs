//! The endpoints that read texts and give numbers.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use sconce_domain::RequestId;
use sconce_pipeline::AskKind;

use crate::access::Authorized;
use crate::body::read_body;
use crate::error::HttpError;
use crate::routes::{HttpState, now_s, understood};
use crate::wire::{EmbeddingList, RankedList, ScoreList, parse_embed, parse_rerank, parse_score};

pub(crate) async fn embed(
    State(state): State<HttpState>,
    client: Authorized,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<EmbeddingList>, HttpError> {
    let arrival = state.pipeline.arrive(id, AskKind::Embedding, client.caller);
    let read = read_body(body, &headers, &state.limits).await;
    let (arrival, (request, format)) = understood(arrival, read.and_then(|it| parse_embed(&it)))?;
    let embedded = state.pipeline.embed(arrival, request).await?;
    Ok(Json(EmbeddingList::new(embedded, format)))
}

pub(crate) async fn rerank(
    State(state): State<HttpState>,
    client: Authorized,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RankedList>, HttpError> {
    let arrival = state.pipeline.arrive(id, AskKind::Rerank, client.caller);
    let read = read_body(body, &headers, &state.limits).await;
    let (arrival, request) = understood(arrival, read.and_then(|it| parse_rerank(&it)))?;
    let (request, shape) = request.split();
    let fitted = state.pipeline.fit(arrival, request).await?;
    Ok(Json(RankedList::new(id.0, fitted, shape)))
}

pub(crate) async fn score(
    State(state): State<HttpState>,
    client: Authorized,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ScoreList>, HttpError> {
    let arrival = state.pipeline.arrive(id, AskKind::Score, client.caller);
    let read = read_body(body, &headers, &state.limits).await;
    let (arrival, request) = understood(arrival, read.and_then(|it| parse_score(&it)))?;
    let fitted = state.pipeline.fit(arrival, request).await?;
    Ok(Json(ScoreList::new(id.0, now_s(), fitted)))
}
