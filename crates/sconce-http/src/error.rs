//! Why a request gets no answer, and the one place that gives each reason its status and code.
//!
//! The words are those of whoever asks: see `error_body.rs`.

use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sconce_domain::Failure;
use sconce_limits::{Exceeded, LimitKind};
use sconce_pipeline::Refusal;

/// Characters of a path that an error shows.
const PATH_CHARS_MAX: usize = 200;

/// How soon to ask again when a record could not be written.
const UNRECORDED_RETRY_AFTER_S: u32 = 10;

/// A request that could not be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the body is not the JSON this server can read: {fact}")]
    Json { fact: String },
    #[error("{message}")]
    Field { param: String, message: String },
    #[error("`{param}` is not supported by this server{note}; leave it out")]
    Unsupported { param: String, note: String },
    #[error("`{param}` is no field this server knows; remove it or correct its name")]
    UnknownField { param: String },
    #[error("the body is longer than {bytes_max} bytes, the most this server reads; send less")]
    BodyTooLong { bytes_max: usize },
    #[error("the body did not arrive within {seconds} s; send the request again")]
    BodyTooSlow { seconds: u64 },
    #[error("the body broke off: {fact}; send the request again")]
    BodyBroken { fact: String },
    #[error(
        "there is nothing at {path}; see /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings"
    )]
    NoRoute { path: String },
    #[error(
        "this server asks for a key; send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`"
    )]
    NoKey,
    #[error("the key that was sent is not one of this server's; ask whoever runs it for one")]
    WrongKey,
    #[error("the key that was sent has expired; ask whoever runs this server for a new one")]
    ExpiredKey,
    #[error(
        "this server answers to names of its own machine only, not to `{host}`; whoever runs it can \
         allow that name with --allow-host, or ask for keys with --keys"
    )]
    StrangeHost { host: String },
    #[error("`priority` is {asked}, and this key may ask with {most_urgent} or more; send that")]
    TooUrgent { asked: i32, most_urgent: i32 },
    #[error("{path} does not take {method}")]
    WrongMethod { method: String, path: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the device failed midway; what came so far is not a whole answer")]
    DeviceFailed,
    #[error(
        "what holds the answer to its form failed midway; what came so far is not a whole answer"
    )]
    FormFailed,
    #[error(
        "the time that the request gave itself with `timeout_s` is over; what came so far is not a \
         whole answer"
    )]
    OutOfTime,
    #[error(
        "what must be kept of this request cannot be written, so its answer is given up; try again later"
    )]
    Unrecorded,
    #[error("the server hit a fault of its own while it served this request")]
    Fault,
}

impl HttpError {
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field {
            param: param.into(),
            message: message.into(),
        }
    }

    pub(crate) fn no_route(uri: &Uri) -> Self {
        Self::NoRoute {
            path: uri.path().chars().take(PATH_CHARS_MAX).collect(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Json { .. }
            | Self::Field { .. }
            | Self::Unsupported { .. }
            | Self::UnknownField { .. }
            | Self::BodyBroken { .. } => StatusCode::BAD_REQUEST,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoKey | Self::WrongKey | Self::ExpiredKey => StatusCode::UNAUTHORIZED,
            Self::StrangeHost { .. } | Self::TooUrgent { .. } => StatusCode::FORBIDDEN,
            Self::OutOfTime => StatusCode::GATEWAY_TIMEOUT,
            Self::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
            Self::DeviceFailed | Self::FormFailed | Self::Fault => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Refused(refusal) => refusal_status(refusal),
        }
    }

    /// OpenAI's word for what there is too little of.
    pub(crate) fn scarce(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::LimitReached(Exceeded { kind, .. })) => match kind {
                kind if kind.is_budget() => "insufficient_quota",
                LimitKind::TokensMinute => "tokens",
                _ => "requests",
            },
            _ => "requests",
        }
    }

    /// Whether a client should ask again by itself, where its own rules would have it wrong.
    fn should_retry(&self) -> Option<bool> {
        match self {
            // Clients ask again after a 429 or a 5xx on their own; here that cannot help, or not soon.
            Self::Refused(Refusal::EngineStopped { .. }) | Self::OutOfTime => Some(false),
            Self::Refused(Refusal::LimitReached(exceeded)) => {
                Some(exceeded.wait_ms.is_some() && !exceeded.kind.is_budget())
            }
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "invalid_json",
            Self::Field { .. } => "invalid_value",
            Self::Unsupported { .. } => "unsupported_parameter",
            Self::UnknownField { .. } => "unknown_parameter",
            Self::BodyTooLong { .. } => "body_too_large",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::BodyBroken { .. } => "body_broken",
            Self::NoRoute { .. } => "unknown_url",
            Self::WrongMethod { .. } => "method_not_allowed",
            Self::NoKey => "missing_api_key",
            Self::WrongKey => "invalid_api_key",
            Self::ExpiredKey => "expired_api_key",
            Self::StrangeHost { .. } => "host_not_allowed",
            Self::TooUrgent { .. } => "priority_not_allowed",
            Self::DeviceFailed => "device_failed",
            Self::FormFailed => "grammar_failed",
            Self::OutOfTime => "timeout",
            Self::Unrecorded => "record_unavailable",
            Self::Fault => "internal_error",
            Self::Refused(refusal) => refusal_code(refusal),
        }
    }

    pub(crate) fn param(&self) -> Option<String> {
        match self {
            Self::Field { param, .. }
            | Self::Unsupported { param, .. }
            | Self::UnknownField { param } => Some(param.clone()).filter(|it| !it.is_empty()),
            Self::TooUrgent { .. } => Some("priority".to_owned()),
            Self::Refused(refusal) => refusal_param(refusal).map(str::to_owned),
            _ => None,
        }
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Refused(
                Refusal::Loading { retry_after_s }
                | Refusal::Busy { retry_after_s, .. }
                | Refusal::EncoderBusy { retry_after_s, .. }
                | Refusal::QueueTimeout { retry_after_s, .. }
                | Refusal::RecordUnavailable { retry_after_s }
                | Refusal::ModelFailed { retry_after_s, .. }
                | Refusal::CompilersBusy { retry_after_s },
            ) => Some(*retry_after_s),
            Self::Refused(Refusal::LimitReached(exceeded)) => exceeded.retry_after_s(),
            Self::Unrecorded => Some(UNRECORDED_RETRY_AFTER_S),
            // Another instance may take it at once.
            Self::Refused(Refusal::Draining) => Some(1),
            _ => None,
        }
    }
}

impl From<Failure> for HttpError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Device => Self::DeviceFailed,
            Failure::Form => Self::FormFailed,
            Failure::Deadline => Self::OutOfTime,
            Failure::Record => Self::Unrecorded,
        }
    }
}

fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Loading { .. }
        | Refusal::Draining
        | Refusal::QueueTimeout { .. }
        | Refusal::UsageUnwritable
        | Refusal::RecordUnavailable { .. }
        | Refusal::ModelFailed { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Busy { .. }
        | Refusal::EncoderBusy { .. }
        | Refusal::CompilersBusy { .. }
        | Refusal::LimitReached(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::ModelNotAllowed { .. } => StatusCode::FORBIDDEN,
        Refusal::UnknownModel { .. } => StatusCode::NOT_FOUND,
        Refusal::EngineStopped { .. }
        | Refusal::EncodingFailed { .. }
        | Refusal::PreparationFailed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::TooManyAnswers { .. }
        | Refusal::NotAGenerator { .. }
        | Refusal::NotAnEncoder { .. }
        | Refusal::NoVectors { .. }
        | Refusal::Dimensions { .. }
        | Refusal::TextTooLong { .. }
        | Refusal::EmptyText { .. }
        | Refusal::TooManyTexts { .. }
        | Refusal::PromptTooLong { .. }
        | Refusal::EmptyPrompt
        | Refusal::UnknownToken { .. }
        | Refusal::NoChatTemplate { .. }
        | Refusal::Template { .. }
        | Refusal::UnknownCallFormat { .. }
        | Refusal::StrictFunction { .. }
        | Refusal::Tokenizer { .. }
        | Refusal::StopString { .. }
        | Refusal::Grammar { .. }
        | Refusal::GrammarTooSlow { .. } => StatusCode::BAD_REQUEST,
    }
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::LimitReached(exceeded) if exceeded.kind.is_budget() => "insufficient_quota",
        Refusal::LimitReached(_) => "rate_limit_exceeded",
        Refusal::Busy { .. } | Refusal::EncoderBusy { .. } => "rate_limit_exceeded",
        Refusal::UnknownModel { .. } => "model_not_found",
        Refusal::PromptTooLong { .. } | Refusal::TextTooLong { .. } => "context_length_exceeded",
        Refusal::EncodingFailed { .. } => "device_failed",
        other => other.reason(),
    }
}

fn refusal_param(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::UnknownModel { .. }
        | Refusal::ModelNotAllowed { .. }
        | Refusal::NotAGenerator { .. }
        | Refusal::NotAnEncoder { .. }
        | Refusal::NoVectors { .. } => Some("model"),
        Refusal::Dimensions { .. } => Some("dimensions"),
        Refusal::TooManyAnswers { .. } => Some("n"),
        Refusal::NoChatTemplate { .. } | Refusal::Template { .. } => Some("messages"),
        Refusal::EmptyPrompt => Some("prompt"),
        Refusal::UnknownToken { field, .. }
        | Refusal::TextTooLong { field, .. }
        | Refusal::EmptyText { field, .. }
        | Refusal::Grammar { field, .. }
        | Refusal::GrammarTooSlow { field, .. } => Some(field),
        Refusal::StopString { .. } => Some("stop"),
        Refusal::UnknownCallFormat { .. } | Refusal::StrictFunction { .. } => Some("tools"),
        _ => None,
    }
}

impl IntoResponse for HttpError {
    /// Without a body: `Api::write_error` writes it, as only that knows who asks.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Self::Refused(Refusal::LimitReached(Exceeded {
            wait_ms: Some(ms), ..
        })) = &self
        {
            let name = HeaderName::from_static("retry-after-ms");
            headers.insert(name, HeaderValue::from(*ms));
        }
        if let Some(should) = self.should_retry() {
            let name = HeaderName::from_static("x-should-retry");
            let word = if should { "true" } else { "false" };
            headers.insert(name, HeaderValue::from_static(word));
        }
        response.extensions_mut().insert(self);
        response
    }
}
