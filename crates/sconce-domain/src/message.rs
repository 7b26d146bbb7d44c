//! A chat as the client tells it, before a template turns it into a prompt.

/// Who speaks. Closed: a role we do not know is refused where the request is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that frame the whole chat.
    System,
    /// The person or program that asks.
    User,
    /// The model's own earlier answers.
    Assistant,
}

impl Role {
    /// The word that chat templates and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
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
}
