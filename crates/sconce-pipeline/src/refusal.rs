//! Why a request got no answer. One enum, so that one place can map it to the wire.

use sconce_limits::Exceeded;

/// A request was turned away before its first token. Nothing of it is left in the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The model is still being loaded.
    #[error("the model is still loading; try again in {retry_after_s} s")]
    Loading {
        /// When to ask again.
        retry_after_s: u32,
    },
    /// The server finishes what it has and takes nothing new.
    #[error("the server is shutting down and takes no new requests; ask another instance")]
    Draining,
    /// Every place in the batch and in the queue is taken.
    #[error(
        "the server is busy: {taken} of its {places} places for answers are taken and this \
         request wants {wanted}; try again in {retry_after_s} s"
    )]
    Busy {
        /// Answers that run or wait.
        taken: u32,
        /// Answers that may run or wait at once.
        places: u32,
        /// Answers that the request asked for.
        wanted: u32,
        /// When to ask again.
        retry_after_s: u32,
    },
    /// Its turn did not come for longer than it may wait. Nothing of it was computed.
    #[error(
        "the request waited {waited_ms} ms in the queue and its turn did not come, so it was given up; \
         try again in {retry_after_s} s"
    )]
    QueueTimeout {
        /// How long it waited.
        waited_ms: u64,
        /// When to ask again.
        retry_after_s: u32,
    },
    /// Its record cannot be written, and this server answers nothing without one.
    #[error(
        "the server cannot write its records at the moment, and answers nothing without; try again in \
         {retry_after_s} s"
    )]
    RecordUnavailable {
        /// When to ask again.
        retry_after_s: u32,
    },
    /// More answers than the server could ever hold at once.
    #[error(
        "the request wants {wanted} answers (prompts times n or best_of) and this server holds at most \
         {places} at once; ask for fewer"
    )]
    TooManyAnswers {
        /// Answers that the request asked for.
        wanted: u32,
        /// Answers that may run or wait at once.
        places: u32,
    },
    /// A limit of the caller's key or tenant is in the way.
    #[error(transparent)]
    LimitReached(Exceeded),
    /// What the caller uses cannot be written down, and it has a budget.
    #[error(
        "the server cannot write down what is used, and without that no budget can be kept; whoever runs \
         it must see to the disk of its --state-dir"
    )]
    UsageUnwritable,
    /// The caller's key or tenant may not ask this model, whether it is served or not.
    #[error("this key may not ask the model `{name}`; it may ask: {allowed}")]
    ModelNotAllowed {
        /// What was asked for.
        name: String,
        /// What may be asked, separated by commas.
        allowed: String,
    },
    /// No model of this name is served.
    #[error("the model `{name}` is not served here; use one of: {known}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// What could have been asked for, separated by commas.
        known: String,
    },
    /// The model reads texts and does not continue them.
    #[error(
        "`{model}` is an encoder and answers no prompts; ask it at /v1/embeddings, /v1/rerank or \
         /v1/score{}",
        if known.is_empty() { String::new() } else { format!(", or for answers ask one of: {known}") }
    )]
    NotAGenerator {
        /// The model.
        model: String,
        /// The models that answer, separated by commas.
        known: String,
    },
    /// The model continues texts and makes no vectors.
    #[error(
        "`{model}` is no encoder; {}",
        if known.is_empty() { "none can be asked here; whoever runs the server adds one with --embeddings MODEL".to_owned() }
        else { format!("use one of: {known}") }
    )]
    NotAnEncoder {
        /// The model.
        model: String,
        /// The encoders, separated by commas.
        known: String,
    },
    /// The encoder judges pairs of texts and makes no vectors.
    #[error(
        "`{model}` judges pairs of texts and makes no vectors; ask it at /v1/rerank or /v1/score"
    )]
    NoVectors {
        /// The model.
        model: String,
    },
    /// The vectors do not have as many numbers as are wanted.
    #[error(
        "the vectors of `{model}` have {dimensions} dimensions and were not trained to be cut to {wanted}; \
         leave `dimensions` out"
    )]
    Dimensions {
        /// The model.
        model: String,
        /// What was asked for.
        wanted: u32,
        /// What there is.
        dimensions: u32,
    },
    /// A text is longer than the encoder reads. It is never cut unless the client says so.
    #[error(
        "text {index} of `{field}` has {tokens} tokens and `{model}` reads at most {context}; shorten it, \
         or send `truncate`: true to have its end cut off"
    )]
    TextTooLong {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// Which of the field's texts, from 0.
        index: u32,
        /// Tokens of the text, markers included.
        tokens: u32,
        /// Tokens that a text may have.
        context: u32,
    },
    /// A text says nothing.
    #[error("text {index} of `{field}` is empty; give at least one character or token")]
    EmptyText {
        /// The field.
        field: &'static str,
        /// Which of the field's texts, from 0.
        index: u32,
    },
    /// More texts than the encoder could ever hold at once.
    #[error(
        "the request has {wanted} texts and this server holds at most {places} at once; send fewer"
    )]
    TooManyTexts {
        /// Texts of the request.
        wanted: u32,
        /// Texts that may run or wait at once.
        places: u32,
    },
    /// Every place for texts is taken.
    #[error(
        "the encoder is busy: {taken} of its {places} places for texts are taken and this request wants \
         {wanted}; try again in {retry_after_s} s"
    )]
    EncoderBusy {
        /// Texts that run or wait.
        taken: u32,
        /// Texts that may run or wait at once.
        places: u32,
        /// Texts of the request.
        wanted: u32,
        /// When to ask again.
        retry_after_s: u32,
    },
    /// The encoder failed on a batch that had some of the request's texts.
    #[error(
        "`{model}` failed while it read the texts; nothing of the request is left, send it again"
    )]
    EncodingFailed {
        /// The model.
        model: String,
    },
    /// The prompt leaves no room for an answer. It is never cut.
    #[error(
        "the prompt has {prompt} tokens and the context of `{model}` holds {context}, so no \
         token of an answer would fit; shorten the prompt to at most {prompt_max} tokens"
    )]
    PromptTooLong {
        /// The model.
        model: String,
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens that prompt and answer may have together.
        context: u32,
        /// Tokens of the longest prompt that leaves room for one token of an answer.
        prompt_max: u32,
    },
    /// There is nothing to continue.
    #[error("the prompt has no tokens; give at least one character")]
    EmptyPrompt,
    /// A field names a token id that the model does not have.
    #[error("`{field}` has token id {token} and `{model}` knows ids 0 to {last}")]
    UnknownToken {
        /// The field.
        field: &'static str,
        /// The model.
        model: String,
        /// The id.
        token: u32,
        /// The highest id of the vocabulary.
        last: u32,
    },
    /// The model has no chat template.
    #[error("the model `{model}` has no chat template; use /v1/completions with a prompt")]
    NoChatTemplate {
        /// The model.
        model: String,
    },
    /// The model's chat template does not accept these messages.
    #[error("the chat template of `{model}` refuses these messages: {fact}")]
    Template {
        /// The model.
        model: String,
        /// What the template said.
        fact: String,
    },
    /// The model calls functions in a way that the server cannot read.
    #[error(
        "the chat template of `{model}` tells of functions in a format that this server cannot read; \
         leave `tools` out or ask another model"
    )]
    UnknownCallFormat {
        /// The model.
        model: String,
    },
    /// Calls of the model's own accord cannot be held to a schema.
    #[error(
        "the function `{function}` is strict and `{model}` writes calls in the format `{format}`, which \
         is held to a schema only where `tool_choice` requires a call; require one, or leave `strict` out"
    )]
    StrictFunction {
        /// The model.
        model: String,
        /// How it writes calls.
        format: &'static str,
        /// The first function that is strict.
        function: String,
    },
    /// The prompt cannot be turned into tokens.
    #[error("the tokenizer of `{model}` refuses the prompt: {fact}")]
    Tokenizer {
        /// The model.
        model: String,
        /// What the tokenizer said.
        fact: String,
    },
    /// A stop string is of no use.
    #[error("{fact}")]
    StopString {
        /// What is wrong with it.
        fact: String,
    },
    /// A grammar is wrong, not supported or too much work.
    #[error("the grammar of `{field}` cannot be used: {fact}")]
    Grammar {
        /// The field it came in.
        field: &'static str,
        /// What is wrong with it.
        fact: String,
    },
    /// A grammar was not ready in time.
    #[error(
        "the grammar of `{field}` was not compiled within {limit_ms} ms; make it smaller or simpler"
    )]
    GrammarTooSlow {
        /// The field it came in.
        field: &'static str,
        /// The time it had.
        limit_ms: u32,
    },
    /// Other grammars are being compiled.
    #[error("the server is busy compiling other grammars; try again in {retry_after_s} s")]
    CompilersBusy {
        /// When to ask again.
        retry_after_s: u32,
    },
    /// The model could not be loaded, or has ended, and it is too soon to try again.
    #[error("the model `{model}` is not there: {fact}; it can be tried again in {retry_after_s} s")]
    ModelFailed {
        /// The model.
        model: String,
        /// What happened.
        fact: String,
        /// When a request has it loaded again.
        retry_after_s: u32,
    },
    /// The thread that runs the model has ended.
    #[error("the engine of `{model}` has stopped after a fault; the server must be restarted")]
    EngineStopped {
        /// The model.
        model: String,
    },
    /// Preparing the prompt hit a fault of our own.
    #[error("preparing the prompt for `{model}` hit a fault of the server; nothing was computed")]
    PreparationFailed {
        /// The model.
        model: String,
    },
}

impl Refusal {
    /// One word for metrics and records.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Loading { .. } => "loading",
            Self::Draining => "draining",
            Self::Busy { .. } => "busy",
            Self::QueueTimeout { .. } => "queue_timeout",
            Self::RecordUnavailable { .. } => "record_unavailable",
            Self::TooManyAnswers { .. } => "too_many_answers",
            Self::LimitReached(exceeded) => exceeded.kind.as_str(),
            Self::UsageUnwritable => "usage_unwritable",
            Self::ModelNotAllowed { .. } => "model_not_allowed",
            Self::UnknownModel { .. } => "unknown_model",
            Self::NotAGenerator { .. } => "not_a_generator",
            Self::NotAnEncoder { .. } => "not_an_encoder",
            Self::NoVectors { .. } => "no_vectors",
            Self::Dimensions { .. } => "dimensions",
            Self::TextTooLong { .. } => "text_too_long",
            Self::EmptyText { .. } => "empty_text",
            Self::TooManyTexts { .. } => "too_many_texts",
            Self::EncoderBusy { .. } => "encoder_busy",
            Self::EncodingFailed { .. } => "encoding_failed",
            Self::PromptTooLong { .. } => "prompt_too_long",
            Self::EmptyPrompt => "empty_prompt",
            Self::UnknownToken { .. } => "unknown_token",
            Self::NoChatTemplate { .. } => "no_chat_template",
            Self::Template { .. } => "template",
            Self::UnknownCallFormat { .. } => "unknown_call_format",
            Self::StrictFunction { .. } => "strict_function",
            Self::Tokenizer { .. } => "tokenizer",
            Self::StopString { .. } => "stop_string",
            Self::Grammar { .. } => "grammar",
            Self::GrammarTooSlow { .. } => "grammar_too_slow",
            Self::CompilersBusy { .. } => "compilers_busy",
            Self::ModelFailed { .. } => "model_failed",
            Self::EngineStopped { .. } => "engine_stopped",
            Self::PreparationFailed { .. } => "preparation_failed",
        }
    }
}
