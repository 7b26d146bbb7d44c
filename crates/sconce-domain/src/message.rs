//! A chat as the client tells it, before a template turns it into a prompt.

use crate::ToolCall;

/// Who speaks. Closed: a role we do not know is refused where the request is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that frame the whole chat.
    System,
    /// The person or program that asks.
    User,
    /// The model's own earlier answers.
    Assistant,
    /// What a function answered that the model had called.
    Tool,
}

impl Role {
    /// The word that chat templates and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What the model thought before it said so.
    pub reasoning: Option<String>,
    /// The functions that the model called.
    pub calls: Vec<ToolCall>,
    /// Which call this is the answer to.
    pub call_id: Option<String>,
}

impl Message {
    /// A turn that is text and nothing else.
    #[must_use]
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning: None,
            calls: Vec::new(),
            call_id: None,
        }
    }
}
