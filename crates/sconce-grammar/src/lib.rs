//! Structured output: a [`Grammar`](sconce_domain::Grammar) becomes the tokens that may come next.
//!
//! [`GrammarCompiler`] belongs to a vocabulary and makes a [`CompiledGrammar`] of what a client
//! wrote, within limits; that begins a [`Constraint`](sconce_engine::Constraint) for each answer.
//! The work is done by llguidance: an Earley parser over derivatives of regular expressions, which
//! walks the vocabulary as a prefix tree.
//!
//! # What may be asked
//! A grammar is kept to the letter or refused by name: there is no looser reading of a JSON Schema.
//! Only the space between the tokens of JSON is cut short, since a small model can otherwise write
//! line breaks until its answer is full.

mod call_rules;
mod compiler;
mod constraint;
mod error;
mod free_calls;
mod gbnf;
mod source;
mod vocabulary;

pub use compiler::{CompiledGrammar, GrammarCompiler};
pub use error::GrammarError;
