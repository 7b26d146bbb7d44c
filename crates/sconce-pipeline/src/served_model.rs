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
    /// Other names that clients may use for it.
    pub aliases: Vec<String>,
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

/// A model as the list of models shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
    /// Tokens that prompt and answer may have together.
    pub context: TokenCount,
}

impl ServedModel {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        *self.name == *name || self.aliases.iter().any(|it| it == name)
    }

    /// The tokens that end an answer under `options`.
    pub(crate) fn stop_tokens(&self, options: &AnswerOptions) -> Arc<[TokenId]> {
        let own = match options.end_tokens {
            EndTokens::Honoured => self.tokenizer.end_tokens(),
            EndTokens::Ignored => &[],
        };
        own.iter().chain(&options.stop_tokens).copied().collect()
    }

    pub(crate) fn entry(&self) -> ModelEntry {
        ModelEntry {
            name: self.name.to_string(),
            created_s: self.created_s,
            context: self.context,
        }
    }
}
