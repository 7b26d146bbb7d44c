//! What a model says besides plain text: what it thinks, and the functions it wants called.
//!
//! Each family has its own marks for that. They stand in one table ([`SpeechFormat`]), and one
//! parser ([`SpeechParser`]) reads them all.

mod call_reader;
mod call_states;
mod channels;
mod elements;
mod format;
mod functions;
mod json_text;
mod named;
mod notation;
mod parser;
mod table;
mod written;

pub use format::{CallIds, SpeechFormat};
pub use parser::{Listening, Reach, SpeechParser, Spoken, Thoughts};
