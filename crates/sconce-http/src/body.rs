//! Reads a request's body, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use crate::error::HttpError;
use crate::limits::HttpLimits;

/// How much more than the limit is read and thrown away, as a multiple of it. A client that is
/// still sending would see the connection break instead of the answer that explains it.
const DISCARDED_TIMES: usize = 8;

/// Reads the whole of `body`.
pub(crate) async fn read_body(
    body: Body,
    headers: &HeaderMap,
    limits: &HttpLimits,
) -> Result<Vec<u8>, HttpError> {
    let bytes_max = limits.body_bytes_max;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // Who asks first has sent nothing yet and will read the answer.
    let asks_first = headers.contains_key(header::EXPECT);
    let is_hopeless = declared > bytes_max.saturating_mul(DISCARDED_TIMES);
    if declared > bytes_max && (asks_first || is_hopeless) {
        return Err(HttpError::BodyTooLong { bytes_max });
    }
    let seconds = limits.body_timeout_s;
    tokio::time::timeout(Duration::from_secs(seconds), gather(body, bytes_max))
        .await
        .unwrap_or(Err(HttpError::BodyTooSlow { seconds }))
}

async fn gather(body: Body, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
    let mut gathered = Vec::new();
    let mut arrived: usize = 0;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| HttpError::BodyBroken {
            fact: error.to_string(),
        })?;
        arrived = arrived.saturating_add(frame.len());
        if arrived <= bytes_max {
            gathered.extend_from_slice(&frame);
        } else {
            gathered = Vec::new();
        }
        if arrived > bytes_max.saturating_mul(DISCARDED_TIMES) {
            break;
        }
    }
    if arrived > bytes_max {
        Err(HttpError::BodyTooLong { bytes_max })
    } else {
        Ok(gathered)
    }
}
