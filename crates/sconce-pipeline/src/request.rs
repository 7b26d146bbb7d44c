//! What a client asks for, free of any wire format.

use std::sync::Arc;
use std::time::Duration;

use sconce_domain::{
    Grammar, Message, Penalties, Priority, RequestId, TokenBias, TokenCount, TokenId, ToolUse,
    Truncation,
};

/// One request for one or more answers.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRequest {
    /// Its name in records and in the answer.
    pub id: RequestId,
    /// The model, or `None` for the default one.
    pub model: Option<String>,
    /// What is to be answered.
    pub ask: Ask,
    /// How it is to be answered.
    pub options: AnswerOptions,
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The next turn of a chat. The model's chat template makes the prompt.
    Chat(Vec<Message>),
    /// The rest of each of these texts, as they stand.
    Completion(Vec<Prompt>),
}

impl Ask {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> AskKind {
        match self {
            Self::Chat(_) => AskKind::Chat,
            Self::Completion(_) => AskKind::Completion,
        }
    }
}

/// What kind of request it is, known before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskKind {
    /// The next turn of a chat.
    Chat,
    /// The rest of texts.
    Completion,
    /// The tokens of a text.
    Tokenize,
    /// The text of tokens.
    Detokenize,
    /// Nobody knows: it was turned away before it was read.
    Unread,
    /// Vectors of texts.
    Embedding,
    /// Texts in the order of their fit to another.
    Rerank,
    /// How well texts fit.
    Score,
}

impl AskKind {
    /// The word that records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Tokenize => "tokenize",
            Self::Detokenize => "detokenize",
            Self::Unread => "unread",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::Score => "score",
        }
    }
}

/// A text to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Characters. Markers such as `<|im_end|>` in them count as the special tokens they name.
    Text(String),
    /// Tokens, taken as they are.
    Tokens(Vec<TokenId>),
}

/// A grammar, and the field that it came in, so that a refusal can name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedGrammar {
    /// The field's name.
    pub field: &'static str,
    /// What it asks for.
    pub grammar: Grammar,
}

/// What the tokens mean that end an answer by the model's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndTokens {
    /// They end it, and are no part of it.
    #[default]
    Honoured,
    /// Nothing: they are tokens like any other, without text.
    Ignored,
}

/// How a request is to be answered. The parser of the wire has checked every range.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerOptions {
    /// Answers for each prompt; at least one.
    pub answers: u32,
    /// Answers that are generated for each prompt, if more than are wanted: then those with the
    /// highest mean log-probability of a token are given, the best first, all at once.
    pub candidates: Option<u32>,
    /// An upper bound for each answer, or `None` for what is left of the context. An answer that
    /// reaches the end of the context first ends there, with `FinishReason::Length` as well.
    pub generated_max: Option<TokenCount>,
    /// Neither the model nor a stop string ends an answer before it has so many tokens.
    pub generated_min: TokenCount,
    /// Whether each answer begins with its prompt; with the probabilities of the prompt's tokens, if
    /// those of the answer's are asked for.
    pub echoes: bool,
    /// See `Sampling`.
    pub temperature: f32,
    /// See `Sampling`.
    pub truncation: Truncation,
    /// See `Sampling`.
    pub penalties: Penalties,
    /// See `Sampling`.
    pub bias: Arc<[TokenBias]>,
    /// Makes the answers repeatable. Without it each request draws a seed of its own.
    pub seed: Option<u64>,
    /// See `Sampling`.
    pub logprobs: Option<u8>,
    /// Texts that end an answer and are not part of it.
    pub stop: Vec<String>,
    /// Tokens that end an answer and are not part of it, besides the model's own.
    pub stop_tokens: Vec<TokenId>,
    /// What the tokens mean that end an answer by the model's own rules.
    pub end_tokens: EndTokens,
    /// What each answer must look like, if it must.
    pub grammar: Option<AskedGrammar>,
    /// The functions that the answer to a chat may call.
    pub tools: ToolUse,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it may wait for its turn; the server's own limit holds as well.
    pub wait_max: Option<Duration>,
    /// How long it may take from its arrival on. What has not ended by then breaks off.
    pub time_max: Option<Duration>,
    /// Whom the client says it asks for; goes into the record.
    pub user: Option<String>,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            answers: 1,
            candidates: None,
            generated_max: None,
            generated_min: TokenCount(0),
            echoes: false,
            temperature: 1.0,
            truncation: Truncation::default(),
            penalties: Penalties::default(),
            bias: Arc::default(),
            seed: None,
            logprobs: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            end_tokens: EndTokens::default(),
            grammar: None,
            tools: ToolUse::default(),
            priority: Priority::default(),
            wait_max: None,
            time_max: None,
            user: None,
        }
    }
}

impl AnswerRequest {
    /// Sequences that the request becomes.
    #[must_use]
    pub fn sequences(&self) -> u32 {
        let prompts = match &self.ask {
            Ask::Chat(_) => 1,
            Ask::Completion(prompts) => u32::try_from(prompts.len()).unwrap_or(u32::MAX),
        };
        prompts.saturating_mul(self.options.sequences_each())
    }
}

impl AnswerOptions {
    /// Sequences for each prompt.
    pub(crate) fn sequences_each(&self) -> u32 {
        self.candidates.unwrap_or(self.answers).max(self.answers)
    }

    /// Whether more are generated than given.
    pub(crate) fn selects(&self) -> bool {
        self.sequences_each() > self.answers
    }
}
