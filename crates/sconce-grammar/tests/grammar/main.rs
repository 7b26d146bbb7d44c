//! Grammars over a vocabulary of bytes: what they take, what they refuse and how long that takes.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

mod free_calls;
mod gbnf;
mod hostile;
mod kinds;
mod refusals;
mod stage;
mod suite;
