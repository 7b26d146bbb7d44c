//! What stays of a request, for whoever keeps it.

use std::sync::Arc;

use crate::{RequestId, TenantId, Usage};

/// A request that is about to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedRecord {
    /// The request.
    pub id: RequestId,
    /// What kind of request it is, in one word.
    pub kind: &'static str,
    /// For whom it is made.
    pub tenant: TenantId,
    /// The name of the key that it came with.
    pub key: Option<Arc<str>>,
}

/// A request that has ended, however it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedRecord {
    /// The request.
    pub id: RequestId,
    /// What kind of request it was, in one word.
    pub kind: &'static str,
    /// For whom it was made.
    pub tenant: TenantId,
    /// The name of the key that it came with.
    pub key: Option<Arc<str>>,
    /// The model that took it, if one did.
    pub model: Option<Arc<str>>,
    /// How it ended, in one word.
    pub end: &'static str,
    /// Why it was refused, if it was.
    pub refusal: Option<&'static str>,
    /// What failed, if something did.
    pub failure: Option<&'static str>,
    /// What it used.
    pub usage: Usage,
    /// From its arrival to its first token.
    pub ttft_ms: Option<u64>,
    /// From its arrival to its end.
    pub total_ms: u64,
}
