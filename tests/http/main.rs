//! The whole product, from outside: a real process, real sockets, real weights, real clients.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]
#![expect(
    clippy::print_stdout,
    reason = "figures and the reasons of skipped tests are printed"
)]

mod answers;
mod bad_input;
mod bench;
mod call_fixtures;
mod call_probe;
mod command_line;
mod config;
mod crowd;
mod encoders;
mod keys;
mod lifecycle;
mod lm_eval;
mod models;
mod official_clients;
mod records;
mod server;
mod stream;
mod structured;
mod tls;
mod tools;
mod windows;
