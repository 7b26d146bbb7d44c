//! A request that has arrived from a client that may ask, and is yet to be read.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use sconce_domain::RequestId;
use sconce_pipeline::{Arrival, AskKind};

use crate::access::Authorized;
use crate::body::read_body;
use crate::error::HttpError;
use crate::routes::HttpState;

/// What a handler gets of a request that leaves a record.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) state: HttpState,
    pub(crate) id: RequestId,
    pub(crate) client: Authorized,
    headers: HeaderMap,
    body: Body,
}

impl Asked {
    /// Opens the request's record and reads it, or notes why it could not be read.
    pub(crate) async fn read<T>(
        &mut self,
        kind: AskKind,
        parse: impl FnOnce(&[u8]) -> Result<T, HttpError>,
    ) -> Result<(Arrival, T), HttpError> {
        let caller = self.client.caller.clone();
        let arrival = self.state.pipeline.arrive(self.id, kind, caller);
        match self.read_unrecorded(parse).await {
            Ok(request) => Ok((arrival, request)),
            Err(error) => {
                arrival.turned_away(error.code()).await;
                Err(error)
            }
        }
    }

    /// Reads a request that asks no model, and so leaves no record.
    pub(crate) async fn read_unrecorded<T>(
        &mut self,
        parse: impl FnOnce(&[u8]) -> Result<T, HttpError>,
    ) -> Result<T, HttpError> {
        let body = std::mem::take(&mut self.body);
        let read = read_body(body, &self.headers, &self.state.limits).await;
        read.and_then(|bytes| parse(&bytes))
    }
}

impl FromRequest<HttpState> for Asked {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, HttpError> {
        let (mut parts, body) = request.into_parts();
        let client = Authorized::from_request_parts(&mut parts, state).await?;
        let id = parts.extensions.get::<RequestId>();
        Ok(Self {
            state: state.clone(),
            id: *id.ok_or(HttpError::Fault)?,
            client,
            headers: parts.headers,
            body,
        })
    }
}
