//! What stays of a request, for whoever keeps it.

use std::sync::Arc;

use crate::{Message, RequestId, TenantId, ToolCall, Usage};

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
    /// What was asked, where that is kept.
    pub input: Option<RecordedInput>,
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
    /// What was answered, where that is kept.
    pub output: Option<RecordedOutput>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedInput {
    /// Whom the client says it asks for.
    pub user: Option<String>,
    /// The chat.
    pub messages: Vec<Message>,
    /// Texts to be continued or read.
    pub texts: Vec<String>,
    /// Texts that came as the numbers of their tokens.
    pub tokens: Vec<Vec<u32>>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedOutput {
    /// What the model read, where it differs from what was asked or was rendered from it.
    pub prompts: Vec<String>,
    /// What it answered.
    pub answers: Vec<RecordedAnswer>,
}

/// One answer, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedAnswer {
    /// What was said.
    pub text: String,
    /// What was thought.
    pub thought: String,
    /// Which functions were to be called.
    pub calls: Vec<ToolCall>,
    /// How it ended, in one word; none if it did not.
    pub end: Option<&'static str>,
}
