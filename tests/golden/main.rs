//! Real weights against llama.cpp and text-embeddings-inference: tokens, rendered chats and distributions, and against
//! themselves: however a prompt is cut and whatever else is in the batch, the bits are the same.
//!
//! The facts are in this folder's `.jsonl` files; its README says where they come from and how
//! exact agreement can be.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures are what a reader wants to see"
)]

mod batching;
mod distribution;
mod encoder;
mod masks;
mod schemas;
mod session;
mod text;
