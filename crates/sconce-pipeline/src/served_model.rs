//! A model as clients know it: a name, and all that turns their text into its tokens and back.

use std::sync::Arc;

use sconce_domain::{TokenCount, TokenId};
use sconce_text::{ChatTemplate, Tokenizer};

use crate::engine_handle::EngineHandle;
use crate::{AnswerOptions, EndTokens, Grammars};

/// What the pipeline is given to serve a model.
#[derive(Debug)]
pub struct ServedModel {
    /// The name in lists and answers.
    pub name: Arc<str>,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template; a model without one only continues texts.
    pub template: Option<ChatTemplate>,
    /// Tokens that prompt and answer may have together. It must fit the engine's KV blocks.
    pub context: TokenCount,
    /// Holds answers to grammars over its vocabulary.
    pub grammars: Grammars,
    /// The engine that runs it.
    pub engine: EngineHandle,
    /// When it was made, in seconds since 1970, as the list of models shows it.
    pub created_s: u64,
}

impl ServedModel {
    /// With a context that the engine's KV blocks can hold.
    pub(crate) fn clamped(mut self) -> Self {
        self.context = self.context.min(self.engine.sequence_tokens_max());
        self
    }

    /// The tokens that end an answer under `options`.
    pub(crate) fn stop_tokens(&self, options: &AnswerOptions) -> Arc<[TokenId]> {
        let own = match options.end_tokens {
            EndTokens::Honoured => self.tokenizer.end_tokens(),
            EndTokens::Ignored => &[],
        };
        own.iter().chain(&options.stop_tokens).copied().collect()
    }
}
