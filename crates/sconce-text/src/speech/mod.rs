//! What a model says besides plain text: what it thinks, and the functions it wants called.
//!
//! Each family has its own markers for that. They stand in one table ([`SpeechFormat`]), and one
//! parser ([`SpeechParser`]) reads them all.

mod format;
mod json_text;
mod parser;
mod written;

pub use format::{CallIds, SpeechFormat};
pub(crate) use format::{THOUGHTS_BEGIN, THOUGHTS_END};
pub use parser::{Listening, SpeechParser, Spoken, Thoughts};
