//! Errors in the words of whoever asks.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::error::HttpError;

/// The header that every client of Anthropic's API sends.
const ANTHROPIC_VERSION: &str = "anthropic-version";

/// Whose API a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's, and all that is nobody's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Ollama's.
    Ollama,
}

/// OpenAI's error object. All four keys are always there.
#[derive(Debug, Serialize)]
pub(crate) struct OpenAiError {
    error: OpenAiFault,
}

#[derive(Debug, Serialize)]
struct OpenAiFault {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: &'static str,
}

/// Anthropic's error object.
#[derive(Debug, Serialize)]
pub(crate) struct AnthropicError {
    r#type: &'static str,
    error: AnthropicFault,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct AnthropicFault {
    r#type: &'static str,
    message: String,
}

/// Ollama's error object.
#[derive(Debug, Serialize)]
pub(crate) struct OllamaError {
    error: String,
}

impl Api {
    /// The one that a request is made in, by its path and headers.
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let is_anthropic = request.headers().contains_key(ANTHROPIC_VERSION)
            || path == "/v1/messages"
            || path.starts_with("/v1/messages/");
        match is_anthropic {
            true => Self::Anthropic,
            false if path.starts_with("/api/") => Self::Ollama,
            false => Self::OpenAi,
        }
    }

    /// The header that tells a client its request's name.
    pub(crate) fn request_id_header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::OpenAi | Self::Ollama => "x-request-id",
            Self::Anthropic => "request-id",
        })
    }

    /// Writes the body of an error, if `response` is one.
    pub(crate) fn write_error(self, request: &str, response: &mut Response) {
        let Some(error) = response.extensions_mut().remove::<HttpError>() else {
            return;
        };
        let text = match self {
            Self::OpenAi => OpenAiError::of(&error).text(),
            Self::Anthropic => AnthropicError::of(&error).about(request).text(),
            Self::Ollama => OllamaError::of(&error).text(),
        };
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(text);
    }
}

impl OpenAiError {
    pub(crate) fn of(error: &HttpError) -> Self {
        let r#type = match error.status() {
            StatusCode::TOO_MANY_REQUESTS => error.scarce(),
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Self {
            error: OpenAiFault {
                message: error.to_string(),
                r#type,
                param: error.param(),
                code: error.code(),
            },
        }
    }

    pub(crate) fn text(&self) -> String {
        json(self)
    }
}

impl AnthropicError {
    pub(crate) fn of(error: &HttpError) -> Self {
        let r#type = match error.status() {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => "timeout_error",
            status if status.is_server_error() => "api_error",
            _ => "invalid_request_error",
        };
        Self {
            r#type: "error",
            error: AnthropicFault {
                r#type,
                message: error.to_string(),
            },
            request_id: None,
        }
    }

    /// Names the request that it answers.
    fn about(self, request: &str) -> Self {
        let request_id = Some(request.to_owned());
        Self { request_id, ..self }
    }

    pub(crate) fn text(&self) -> String {
        json(self)
    }
}

impl OllamaError {
    pub(crate) fn of(error: &HttpError) -> Self {
        let error = error.to_string();
        Self { error }
    }

    pub(crate) fn text(&self) -> String {
        json(self)
    }
}

fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("an object of texts can be written")
}
