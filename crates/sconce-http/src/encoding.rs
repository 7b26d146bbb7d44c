//! The endpoints that read texts and give numbers.

use axum::Json;
use sconce_pipeline::AskKind;

use crate::asked::Asked;
use crate::error::HttpError;
use crate::openai::{EmbeddingList, RankedList, ScoreList, parse_embed, parse_rerank, parse_score};
use crate::routes::now_s;

pub(crate) async fn embed(mut asked: Asked) -> Result<Json<EmbeddingList>, HttpError> {
    let (arrival, (request, format)) = asked.read(AskKind::Embedding, parse_embed).await?;
    let embedded = asked.state.pipeline.embed(arrival, request).await?;
    Ok(Json(EmbeddingList::new(embedded, format)))
}

pub(crate) async fn rerank(mut asked: Asked) -> Result<Json<RankedList>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Rerank, parse_rerank).await?;
    let (request, shape) = request.split();
    let fitted = asked.state.pipeline.fit(arrival, request).await?;
    Ok(Json(RankedList::new(asked.id.0, fitted, shape)))
}

pub(crate) async fn score(mut asked: Asked) -> Result<Json<ScoreList>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Score, parse_score).await?;
    let fitted = asked.state.pipeline.fit(arrival, request).await?;
    Ok(Json(ScoreList::new(asked.id.0, now_s(), fitted)))
}
