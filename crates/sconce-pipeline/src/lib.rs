//! The way of a request: admission, routing, engine, text. No HTTP here, and no device.
//!
//! A request passes one type a hop: [`AnswerRequest`] is admitted (and holds a place), routed (and
//! has become tokens of a model), streamed as tokens, then as text, and comes out as an
//! [`AnswerStream`]. [`Pipeline::answer`] is that way. Each type holds what the request holds, and
//! dropping it gives that back, so leaving early needs no code of its own.

mod accounts;
mod admission;
mod answer;
mod device_turns;
mod echo;
mod encoder_meter;
mod encoder_queue;
mod encoder_thread;
mod encoding;
mod engine_handle;
mod engine_meter;
mod engine_thread;
mod grammars;
mod hearing;
mod kv_meter;
mod metrics;
mod models;
mod panic_guard;
mod permission;
mod pipeline;
mod record;
mod record_meter;
mod recording;
mod refusal;
mod request;
mod resident_memory;
mod route;
mod seed;
mod selection;
mod served_encoder;
mod served_model;
mod spoken_stream;
mod text_stream;
mod token_stream;
mod tokenizing;

pub use accounts::{Accounts, UsageJournal};
pub use admission::AdmissionLimits;
pub use answer::{AnswerEvent, AnswerProgress, AnswerStream, CallPart};
pub use device_turns::{DeviceTurn, DeviceTurns};
pub use encoder_meter::EncoderMetrics;
pub use encoder_thread::{Encode, EncoderHandle, EncoderThread};
pub use encoding::{EmbedRequest, Embedded, FitRequest, Fitted, Overlong};
pub use engine_handle::EngineHandle;
pub use engine_thread::EngineThread;
pub use grammars::{CompiledGrammar, GrammarCompiler, GrammarRefused, Grammars};
pub use metrics::{Metrics, ModelMetrics};
pub use models::{
    DeclaredModel, Displaces, LoadFailure, LoadedModel, MemoryLimits, ModelContext, ModelEntry,
    ModelKind, ModelLoader, ModelNeeds, ModelStatus, NameTaken, Served,
};
pub use pipeline::{Pipeline, Readiness};
pub use record::Arrival;
pub use record_meter::RecordMetrics;
pub use recording::{Keeps, ReceiptWriter, RecordKeeper, Recording, Unrecorded};
pub use refusal::Refusal;
pub use request::{AnswerOptions, AnswerRequest, Ask, AskKind, AskedGrammar, EndTokens, Prompt};
pub use served_encoder::{EncoderKind, ServedEncoder};
pub use served_model::ServedModel;
pub use text_stream::{TokenChance, TokenReport};
pub use tokenizing::{Edges, ModelSkill, Tokenized, TokenizerFacts};
