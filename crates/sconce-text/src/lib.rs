//! Between strings and token ids: tokenizer, incremental detokenizer, stop strings, chat template,
//! and what a model says besides text: thoughts and calls.
//!
//! Pure once loaded: a [`Vocabulary`] and a template's source come in as plain data, from whatever
//! file the model crate read; nothing here opens a file, asks a clock or knows a model by name.

mod detokenizer;
mod encoder_tokenizer;
mod error;
mod speech;
mod stop_strings;
mod template;
mod tokenizer;
mod vocabulary;

pub use detokenizer::Detokenizer;
pub use encoder_tokenizer::EncoderTokenizer;
pub use error::TextError;
pub use speech::{CallIds, Listening, Reach, SpeechFormat, SpeechParser, Spoken, Thoughts};
pub use stop_strings::{Scanned, StopScanner, StopStrings};
pub use template::{ChatTemplate, CivilTime, RenderOptions};
pub use tokenizer::guard::{Guard, Rendered};
pub use tokenizer::{CutStep, Specials, Tokenizer, pre_tokenizer_of};
pub use vocabulary::{
    EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, TokenizerModel, Vocabulary, VocabularyKind,
};
