//! Errors in the words of whoever asks.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::error::HttpError;

/// Whose API a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's, and all that is nobody's.
    OpenAi,
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

impl Api {
    /// The one that a request is made in, by its path and headers.
    pub(crate) fn of(_request: &Request) -> Self {
        Self::OpenAi
    }

    /// Writes the body of an error, if `response` is one.
    pub(crate) fn write_error(self, response: &mut Response) {
        let Some(error) = response.extensions_mut().remove::<HttpError>() else {
            return;
        };
        let text = match self {
            Self::OpenAi => OpenAiError::of(&error).text(),
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

fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("an object of texts can be written")
}
