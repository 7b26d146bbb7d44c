//! The API over a real socket: what it answers, what it refuses, how it starts and ends.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

mod access;
mod answers;
mod anthropic;
mod bad_requests;
mod colours;
mod encoders;
mod forms;
mod lifecycle;
mod limits;
mod models;
mod server;
#[expect(
    dead_code,
    reason = "the pipeline's own tests use the rest of this shared stage"
)]
#[path = "../../../sconce-pipeline/tests/stage/mod.rs"]
mod stage;
mod tokens;
mod tools;
