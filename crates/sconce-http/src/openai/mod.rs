//! OpenAI's JSON, and that of its relatives: requests read strictly, answers written as its clients expect
//! them.

mod chat_answer;
mod chat_request;
mod chunks;
mod completion_answer;
mod completion_request;
mod embeddings;
mod foreign;
mod grammar;
mod model_list;
mod options;
mod rerank;
mod tokens;
mod tools;
mod usage;

pub(crate) use chat_answer::ChatChunks;
pub(crate) use chat_request::parse_chat;
pub(crate) use chunks::OpenAi;
pub(crate) use completion_answer::CompletionChunks;
pub(crate) use completion_request::parse_completion;
pub(crate) use embeddings::{EmbeddingList, parse_embed};
pub(crate) use model_list::{ModelList, ModelObject, parse_model_name};
pub(crate) use rerank::{RankedList, ScoreList, parse_rerank, parse_score};
pub(crate) use tokens::{
    DetokenizeRequest, TextObject, TokenizeRequest, TokenizerObject, TokensObject,
    parse_detokenize, parse_tokenize,
};
