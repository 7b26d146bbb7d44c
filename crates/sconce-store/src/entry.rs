//! What an entry says: facts as JSON, and after them what is sealed.

use std::fmt;
use std::str::FromStr;

use sconce_domain::{ClosedRecord, OpenedRecord, RequestId};
use serde::{Deserialize, Serialize};

/// The end of a request that was open when the process died.
pub const INTERRUPTED: &str = "interrupted";

/// A request's name in the journal, as clients got it in `x-request-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(pub u64);

/// A text that is no record's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no record's name; those are `req-` and 16 hexadecimal digits, as in x-request-id"
)]
pub struct NoRecordId(String);

/// A request that was about to be admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The request.
    pub id: RecordId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of request it is.
    pub kind: String,
    /// For whom it is made.
    pub tenant: String,
    /// The name of the key that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A request that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The request.
    pub id: RecordId,
    /// When it ended, in milliseconds since 1970. Of an interrupted one, when that was found out.
    pub at_ms: u64,
    /// What kind of request it was.
    pub kind: String,
    /// For whom it was made.
    pub tenant: String,
    /// The name of the key that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The model that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How it ended.
    pub end: String,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were found in the cache.
    #[serde(default)]
    pub cached_tokens: u32,
    /// Tokens generated.
    #[serde(default)]
    pub completion_tokens: u32,
    /// From its arrival to its first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// From its arrival to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
}

/// The facts of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Facts {
    /// A request is about to be admitted.
    Opened(Opened),
    /// A request has ended.
    Closed(Closed),
    /// What was open when the segment began, so that a start reads one segment only.
    Carried(Vec<Opened>),
}

/// A payload that is not of the shape that this program writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its facts cannot be read: {0}")]
pub(crate) struct Unreadable(String);

impl Facts {
    /// These facts as they lie in an entry.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can be written")
    }

    /// The bytes of an entry with facts, and with what is sealed behind them.
    pub(crate) fn payload(facts: &[u8], sealed: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(4 + facts.len() + sealed.len());
        payload.extend((facts.len() as u32).to_le_bytes());
        payload.extend_from_slice(facts);
        payload.extend_from_slice(sealed);
        payload
    }

    /// For whom the request was made.
    pub(crate) fn tenant(&self) -> &str {
        match self {
            Self::Opened(opened) => &opened.tenant,
            Self::Closed(closed) => &closed.tenant,
            Self::Carried(_) => "",
        }
    }

    /// The facts of an entry, and what is sealed in it.
    pub(crate) fn read(payload: &[u8]) -> Result<(Self, &[u8]), Unreadable> {
        let short = || Unreadable("they are cut off".to_owned());
        let (length, rest) = payload.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (facts, sealed) = rest.split_at_checked(length).ok_or_else(short)?;
        let facts = serde_json::from_slice(facts).map_err(|it| Unreadable(it.to_string()))?;
        Ok((facts, sealed))
    }
}

impl Opened {
    pub(crate) fn new(record: &OpenedRecord, at_ms: u64) -> Self {
        Self {
            id: record.id.into(),
            at_ms,
            kind: record.kind.to_owned(),
            tenant: record.tenant.0.to_string(),
            key: record.key.as_ref().map(ToString::to_string),
        }
    }

    /// How it ended, if all that is known is that it has.
    pub(crate) fn interrupted(&self, at_ms: u64) -> Closed {
        Closed {
            id: self.id,
            at_ms,
            kind: self.kind.clone(),
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            model: None,
            end: INTERRUPTED.to_owned(),
            refusal: None,
            failure: None,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            ttft_ms: None,
            total_ms: None,
        }
    }
}

impl Closed {
    pub(crate) fn new(record: &ClosedRecord, at_ms: u64) -> Self {
        let text = |it: &std::sync::Arc<str>| it.to_string();
        Self {
            id: record.id.into(),
            at_ms,
            kind: record.kind.to_owned(),
            tenant: record.tenant.0.to_string(),
            key: record.key.as_ref().map(text),
            model: record.model.as_ref().map(text),
            end: record.end.to_owned(),
            refusal: record.refusal.map(str::to_owned),
            failure: record.failure.map(str::to_owned),
            prompt_tokens: record.usage.prompt.0,
            cached_tokens: record.usage.cached.0,
            completion_tokens: record.usage.completion.0,
            ttft_ms: record.ttft_ms,
            total_ms: Some(record.total_ms),
        }
    }
}

impl From<RequestId> for RecordId {
    fn from(id: RequestId) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "req-{:016x}", self.0)
    }
}

impl FromStr for RecordId {
    type Err = NoRecordId;

    fn from_str(text: &str) -> Result<Self, NoRecordId> {
        let number = text.strip_prefix("req-").filter(|it| it.len() == 16);
        let number = number.and_then(|it| u64::from_str_radix(it, 16).ok());
        number.map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            NoRecordId(shown.escape_debug().to_string())
        })
    }
}

impl TryFrom<String> for RecordId {
    type Error = NoRecordId;

    fn try_from(text: String) -> Result<Self, NoRecordId> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.to_string()
    }
}
