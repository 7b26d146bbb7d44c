//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as vLLM has them.

use sconce_domain::TokenId;
use sconce_pipeline::{Edges, Tokenized, TokenizerFacts};
use serde::Serialize;
use serde_json::Value;

use crate::error::HttpError;
use crate::wire::fields::{Fields, token_ids};
use crate::wire::strict_json;

/// A text to become tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenizeRequest {
    pub(crate) model: Option<String>,
    pub(crate) text: String,
    pub(crate) edges: Edges,
}

/// Tokens to become a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DetokenizeRequest {
    pub(crate) model: Option<String>,
    pub(crate) tokens: Vec<TokenId>,
}

/// A text as tokens.
#[derive(Debug, Serialize)]
pub(crate) struct TokensObject {
    tokens: Vec<u32>,
    count: usize,
    max_model_len: u32,
}

/// Tokens as a text.
#[derive(Debug, Serialize)]
pub(crate) struct TextObject {
    pub(crate) prompt: String,
}

/// What a client needs to know of a tokenizer it does not have.
#[derive(Debug, Serialize)]
pub(crate) struct TokenizerObject {
    model: String,
    bos_token: Option<String>,
    eos_token: Option<String>,
    pad_token: Option<String>,
    chat_template: Option<String>,
    vocab_size: usize,
    max_model_len: u32,
}

pub(crate) fn parse_tokenize(body: &[u8]) -> Result<TokenizeRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let text = fields
        .text("prompt")?
        .ok_or_else(|| HttpError::field("prompt", "`prompt` is missing; it must be a string"))?;
    let adds = fields.flag("add_special_tokens")?.unwrap_or(true);
    fields.finish()?;
    let edges = if adds { Edges::OfAPrompt } else { Edges::None };
    Ok(TokenizeRequest { model, text, edges })
}

pub(crate) fn parse_detokenize(body: &[u8]) -> Result<DetokenizeRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let tokens = match fields.take("tokens") {
        Some(Value::Array(items)) => token_ids("tokens", &items)?,
        Some(other) => return Err(fields.wrong("tokens", "be a list of token ids", &other)),
        None => {
            let message = "`tokens` is missing; it must be a list of token ids";
            return Err(HttpError::field("tokens", message));
        }
    };
    fields.finish()?;
    Ok(DetokenizeRequest { model, tokens })
}

impl From<Tokenized> for TokensObject {
    fn from(tokenized: Tokenized) -> Self {
        Self {
            count: tokenized.tokens.len(),
            tokens: tokenized.tokens.into_iter().map(|it| it.0).collect(),
            max_model_len: tokenized.context.0,
        }
    }
}

impl From<TokenizerFacts> for TokenizerObject {
    fn from(facts: TokenizerFacts) -> Self {
        Self {
            model: facts.model,
            bos_token: facts.bos,
            eos_token: facts.eos,
            pad_token: facts.padding,
            chat_template: facts.chat_template,
            vocab_size: facts.vocabulary_size,
            max_model_len: facts.context.0,
        }
    }
}
