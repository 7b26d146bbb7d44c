//! The catalog from outside: cards, cache, and both kinds of source, without any network.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod cache;
mod cards;
mod companions;
mod hub;
mod local_hub;
mod scene;
mod wheel;
