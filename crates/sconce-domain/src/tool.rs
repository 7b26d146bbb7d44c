//! Functions that a model may call, and its calls.

/// A function of the client's that a model may ask to be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// The JSON Schema of its arguments, itself JSON; without one it has no arguments.
    pub parameters: Option<String>,
    /// Whether a call that the model makes of its own accord must fit the schema too.
    pub is_strict: bool,
}

/// Whether the model calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum ToolChoice {
    /// If it wants to.
    #[default]
    Auto,
    /// Never.
    None,
    /// It must, one function or another.
    Required,
    /// It must call this function.
    Named(String),
}

/// The functions that an answer may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolUse {
    /// The functions. Their names differ.
    pub tools: Vec<Tool>,
    /// Whether they are called.
    pub choice: ToolChoice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
}

impl Default for ToolUse {
    fn default() -> Self {
        Self {
            tools: Vec::new(),
            choice: ToolChoice::Auto,
            parallel: true,
        }
    }
}

/// A model's wish to have a function called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// Its name in the chat: the function's answer refers to it.
    pub id: String,
    /// The function.
    pub name: String,
    /// The arguments, as the model wrote them: a JSON object if it wrote well.
    pub arguments: String,
}
