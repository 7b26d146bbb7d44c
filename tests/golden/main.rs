//! Real weights against llama.cpp: tokens, rendered chats and distributions, and against
//! themselves: however a prompt is cut and whatever else is in the batch, the bits are the same.
//!
//! The facts are in this folder's `.jsonl` files; its README says where they come from and how
//! exact agreement can be.

mod batching;
mod distribution;
mod session;
mod text;
