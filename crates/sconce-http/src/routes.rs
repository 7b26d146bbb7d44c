//! What answers at which path.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use sconce_pipeline::{AskKind, Pipeline, Readiness};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{Access, Admin, Asking, Authorized};
use crate::anthropic::{self, ModelCard, ModelPage, parse_page};
use crate::asked::Asked;
use crate::deliver::{Waiting, deliver};
use crate::encoding;
use crate::error::HttpError;
use crate::error_body::Api;
use crate::limits::HttpLimits;
use crate::model_routes;
use crate::ollama;
use crate::openai::{
    ChatChunks, CompletionChunks, DetokenizeRequest, ModelList, ModelObject, OpenAi, TextObject,
    TokenizeRequest, TokenizerObject, TokensObject, parse_chat, parse_completion, parse_detokenize,
    parse_tokenize,
};
use crate::rate_headers;
use crate::tls::Tls;
use crate::wire::parsed::ParsedRequest;

/// What the routes share.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// Who answers.
    pub pipeline: Arc<Pipeline>,
    /// What a client may take.
    pub limits: HttpLimits,
    /// Who may ask.
    pub access: Access,
    /// What the server shows to prove who it is; without it, connections can be read on their way.
    pub tls: Option<Tls>,
}

/// The paths at which no key is asked for: whoever watches the process has none.
pub const OPEN_PATHS: [&str; 2] = ["/health", "/ready"];

/// The path of every route.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// What answers at each path.
fn routes() -> Vec<(&'static str, MethodRouter<HttpState>)> {
    vec![
        ("/v1/chat/completions", post(chat)),
        ("/v1/completions", post(complete)),
        ("/v1/messages", post(anthropic::messages)),
        ("/v1/messages/count_tokens", post(anthropic::count_tokens)),
        ("/api/chat", post(ollama::chat)),
        ("/api/generate", post(ollama::generate)),
        ("/api/embed", post(ollama::embed)),
        ("/api/embeddings", post(ollama::embeddings)),
        ("/api/tags", get(ollama::list)),
        ("/api/show", post(ollama::show)),
        ("/api/ps", get(ollama::loaded_models)),
        ("/api/version", get(ollama::version)),
        ("/", get(ollama::alive)),
        ("/v1/embeddings", post(encoding::embed)),
        ("/v1/rerank", post(encoding::rerank)),
        ("/v2/rerank", post(encoding::rerank)),
        ("/v1/score", post(encoding::score)),
        ("/v1/models", get(models)),
        ("/v1/models/{*name}", get(model)),
        ("/models/load", post(model_routes::load)),
        ("/models/unload", post(model_routes::unload)),
        ("/tokenize", post(tokenize)),
        ("/detokenize", post(detokenize)),
        ("/tokenizer_info", get(tokenizer_info)),
        ("/metrics", get(metrics)),
        ("/health", get(health)),
        ("/ready", get(ready)),
    ]
}

/// All routes. They may be served before a model is: until then they answer 503.
pub fn router(state: HttpState) -> Router {
    let routes = routes().into_iter();
    routes
        .fold(Router::new(), |router, (path, method)| {
            router.route(path, method)
        })
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(state.clone(), name_request))
        .with_state(state)
}

/// Gives each request a name and tells it to the client, and an error its words.
async fn name_request(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = state.pipeline.next_request_id();
    request.extensions_mut().insert(id);
    let asking = Asking::default();
    request.extensions_mut().insert(asking.clone());
    let name = format!("req-{:016x}", id.0);
    let api = Api::of(&request);
    request.extensions_mut().insert(api);
    let mut response = next.run(request).await;
    api.write_error(&name, &mut response);
    if let Some(caller) = asking.caller() {
        rate_headers::add(response.headers_mut(), &state.pipeline.standing(caller));
    }
    if let Ok(value) = HeaderValue::from_str(&name) {
        let headers = response.headers_mut();
        headers.insert(api.request_id_header(), value);
    }
    response
}

async fn chat(mut asked: Asked) -> Result<Response, HttpError> {
    let id = asked.id;
    let answered = answer(&mut asked, AskKind::Chat, |body| parse_chat(id, body));
    let waiting = answered.await?;
    let delivery = waiting.delivery;
    let dialect = move |model: &str| {
        let chunks = ChatChunks::new(id.0, now_s(), model, delivery);
        OpenAi::new(chunks, delivery)
    };
    deliver(waiting, dialect).await
}

async fn complete(mut asked: Asked) -> Result<Response, HttpError> {
    let id = asked.id;
    let parse = |body: &[u8]| parse_completion(id, body);
    let waiting = answer(&mut asked, AskKind::Completion, parse).await?;
    let delivery = waiting.delivery;
    let dialect = move |model: &str| {
        let chunks = CompletionChunks::new(id.0, now_s(), model, delivery);
        OpenAi::new(chunks, delivery)
    };
    deliver(waiting, dialect).await
}

/// Reads a request, if its client may ask for it, and has it wait for its answers.
pub(crate) async fn answer(
    asked: &mut Asked,
    kind: AskKind,
    parse: impl FnOnce(&[u8]) -> Result<ParsedRequest, HttpError>,
) -> Result<Waiting, HttpError> {
    let client = asked.client.clone();
    let parse = |body: &[u8]| {
        let parsed = parse(body)?;
        client.check_priority(parsed.request.options.priority)?;
        Ok(parsed)
    };
    let (arrival, parsed) = asked.read(kind, parse).await?;
    Ok(Waiting::new(&asked.state, arrival, parsed))
}

async fn tokenize(mut asked: Asked) -> Result<Json<TokensObject>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Tokenize, parse_tokenize).await?;
    let TokenizeRequest { model, text, edges } = request;
    let pipeline = &asked.state.pipeline;
    let tokenized = pipeline.tokenize(arrival, model.as_deref(), text, edges);
    Ok(Json(tokenized.await?.into()))
}

async fn detokenize(mut asked: Asked) -> Result<Json<TextObject>, HttpError> {
    let (arrival, request) = asked.read(AskKind::Detokenize, parse_detokenize).await?;
    let DetokenizeRequest { model, tokens } = request;
    let pipeline = &asked.state.pipeline;
    let text = pipeline.detokenize(arrival, model.as_deref(), tokens);
    let prompt = text.await?;
    Ok(Json(TextObject { prompt }))
}

async fn tokenizer_info(
    State(state): State<HttpState>,
    client: Authorized,
) -> Result<Json<TokenizerObject>, HttpError> {
    Ok(Json(
        state
            .pipeline
            .tokenizer_facts(&client.caller, None)
            .await?
            .into(),
    ))
}

async fn models(
    State(state): State<HttpState>,
    client: Authorized,
    Extension(api): Extension<Api>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, HttpError> {
    let entries = state.pipeline.model_entries_for(&client.caller);
    Ok(match api {
        Api::OpenAi | Api::Ollama => Json(ModelList::from(entries)).into_response(),
        Api::Anthropic => Json(ModelPage::of(entries, &parse_page(&asked)?)).into_response(),
    })
}

async fn model(
    State(state): State<HttpState>,
    client: Authorized,
    Extension(api): Extension<Api>,
    Path(name): Path<String>,
) -> Result<Response, HttpError> {
    let entry = state.pipeline.model_entry_for(&client.caller, &name)?;
    Ok(match api {
        Api::OpenAi | Api::Ollama => Json(ModelObject::from(entry)).into_response(),
        Api::Anthropic => Json(ModelCard::from(entry)).into_response(),
    })
}

/// Whether the process is worth keeping: one none of whose models can answer is not.
async fn health(State(state): State<HttpState>) -> Response {
    match state.pipeline.readiness() {
        Readiness::Failed { model, fact } => {
            let mut told = json!({"status": "failed"});
            if tells_all(&state) {
                told["model"] = model.into();
                told["reason"] = fact.into();
            }
            (StatusCode::INTERNAL_SERVER_ERROR, Json(told)).into_response()
        }
        Readiness::Ready | Readiness::Loading | Readiness::Draining => {
            Json(json!({"status": "ok"})).into_response()
        }
    }
}

/// Whether new requests should be sent here, and how each model stands.
async fn ready(State(state): State<HttpState>) -> Response {
    let (status, word) = match state.pipeline.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready"),
        Readiness::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading"),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Readiness::Failed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
    };
    let mut told = json!({"status": word});
    if tells_all(&state) {
        let entries = state.pipeline.model_entries().into_iter();
        let models = entries.map(|it| (it.name, it.status.as_str().into()));
        told["models"] = Value::Object(models.collect());
    }
    (status, Json(told)).into_response()
}

/// Whether probes, which show no key, may be told of models: not where others must show one.
fn tells_all(state: &HttpState) -> bool {
    matches!(state.access, Access::Open(_))
}

async fn metrics(State(state): State<HttpState>, _: Admin) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    (
        [(header::CONTENT_TYPE, kind)],
        state.pipeline.metrics().text(),
    )
        .into_response()
}

async fn no_route(_: Authorized, uri: Uri) -> HttpError {
    HttpError::no_route(&uri)
}

async fn wrong_method(_: Authorized, method: Method, uri: Uri) -> HttpError {
    HttpError::WrongMethod {
        method: method.to_string(),
        path: uri.path().to_owned(),
    }
}

fn after_panic(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request's handler panicked; other requests go on");
    HttpError::Fault.into_response()
}

pub(crate) fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |it| it.as_secs())
}
