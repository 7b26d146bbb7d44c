//! What an answer must look like.

/// A language that an answer must be a word of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits this JSON Schema, itself JSON.
    JsonSchema(String),
    /// Text that this regular expression matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// Text of a grammar in Lark's notation; it begins at the rule `start`.
    Lark(String),
    /// Text of a grammar in llama.cpp's notation; it begins at the rule `root`.
    Gbnf(String),
    /// Calls of functions, as a model writes them.
    Calls(CallForm),
    /// Any text, in which whatever begins as a call is held to its form.
    FreeCalls(FreeCalls),
}

/// Text in which a model may call when it wants to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FreeCalls {
    /// What a call begins with; behind it the form holds. Never empty.
    pub trigger: String,
    /// What stands behind the trigger; text may follow again, and further calls.
    pub form: CallForm,
}

/// How a model writes its calls: `opening`, one call or more with `between` in between, `closing`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallForm {
    /// What comes before the first call.
    pub opening: String,
    /// What a call may be.
    pub functions: Vec<FunctionForm>,
    /// What stands between two calls.
    pub between: String,
    /// What comes after the last call.
    pub closing: String,
    /// Calls that one answer may hold.
    pub calls_max: u32,
}

/// How a model writes the call of one function: `before`, the arguments, `after`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionForm {
    /// What comes before the arguments.
    pub before: String,
    /// The JSON Schema of the arguments, itself JSON.
    pub arguments: String,
    /// What comes after the arguments.
    pub after: String,
}

impl Grammar {
    /// Bytes that a client has written.
    #[must_use]
    pub fn source_bytes(&self) -> usize {
        match self {
            Self::JsonObject => 0,
            Self::JsonSchema(text) | Self::Regex(text) | Self::Lark(text) | Self::Gbnf(text) => {
                text.len()
            }
            Self::Choice(texts) => texts.iter().map(String::len).sum(),
            Self::Calls(form) | Self::FreeCalls(FreeCalls { form, .. }) => {
                form.functions.iter().map(FunctionForm::source_bytes).sum()
            }
        }
    }
}

impl FunctionForm {
    fn source_bytes(&self) -> usize {
        self.before.len() + self.arguments.len()
    }
}
