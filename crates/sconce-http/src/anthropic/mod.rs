//! Anthropic's Messages API: `POST /v1/messages`, `POST /v1/messages/count_tokens`, and the models as its
//! clients list them.

mod answer;
mod blocks;
mod foreign;
mod models;
mod request;
mod tools;

use axum::Json;
use axum::response::Response;
use sconce_pipeline::AskKind;
use serde::Serialize;

use crate::asked::Asked;
use crate::deliver::deliver;
use crate::error::HttpError;
use crate::routes::answer;
pub(crate) use models::{ModelCard, ModelPage, parse_page};

use self::answer::{MessageDialect, MessageFacts};
use self::request::{CountRequest, parse_count, parse_messages};

/// Tokens of a chat.
#[derive(Debug, Serialize)]
pub(crate) struct TokenCountObject {
    input_tokens: u32,
}

pub(crate) async fn messages(mut asked: Asked) -> Result<Response, HttpError> {
    let id = asked.id;
    let mut facts = MessageFacts::default();
    let parse = |body: &[u8]| {
        let parsed = parse_messages(id, body)?;
        facts = MessageFacts::of(&parsed.request.options);
        Ok(parsed)
    };
    let waiting = answer(&mut asked, AskKind::Chat, parse).await?;
    deliver(waiting, move |model| {
        MessageDialect::new(id.0, model, facts)
    })
    .await
}

pub(crate) async fn count_tokens(mut asked: Asked) -> Result<Json<TokenCountObject>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Tokenize, parse_count).await?;
    let CountRequest {
        model,
        messages,
        options,
    } = request;
    let pipeline = &asked.state.pipeline;
    let tokens = pipeline.count_chat(arrival, model.as_deref(), messages, options);
    Ok(Json(TokenCountObject {
        input_tokens: tokens.await?.0,
    }))
}
