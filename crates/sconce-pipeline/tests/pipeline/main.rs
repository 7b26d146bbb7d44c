//! Requests through a whole pipeline, engine thread and all.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

#[path = "../stage/mod.rs"]
mod stage;

mod answers;
mod echoes;
mod endings;
mod grammars;
mod keeping;
mod models;
mod records;
mod rewinds;
mod selections;
mod spoken;
