//! Fields of Ollama's API that this server cannot honour.

use serde_json::Value;

use crate::wire::foreign::{Foreign, foreign, is_empty, is_false, never};

/// What a request for an answer may carry.
pub(super) const REQUEST: &[Foreign] = &[
    foreign("keep_alive", never),
    foreign("think", never),
    foreign("logprobs", is_false),
    foreign("top_logprobs", is_zero),
    // A prompt is never cut, and a context never shifted.
    foreign("truncate", is_false),
    foreign("shift", is_false),
];

/// What a prompt may carry besides.
pub(super) const GENERATE: &[Foreign] = &[
    foreign("suffix", is_empty),
    foreign("template", is_empty),
    foreign("context", is_empty),
    foreign("images", is_empty),
];

/// What a message may carry.
pub(super) const MESSAGE: &[Foreign] = &[foreign("images", is_empty)];

/// What a request for vectors may carry.
pub(super) const EMBED: &[Foreign] = &[foreign("keep_alive", never), foreign("options", is_empty)];

/// What the options may hold.
pub(super) const OPTIONS: &[Foreign] = &[
    foreign("num_ctx", never),
    foreign("num_keep", never),
    foreign("num_batch", never),
    foreign("num_gpu", never),
    foreign("num_thread", never),
    foreign("main_gpu", never),
    foreign("use_mmap", never),
    foreign("use_mlock", is_false),
    foreign("low_vram", is_false),
    foreign("vocab_only", is_false),
    foreign("numa", is_false),
    foreign("f16_kv", never),
    foreign("logits_all", is_false),
    foreign("embedding_only", is_false),
    foreign("penalize_newline", is_false),
    foreign("mirostat", is_zero),
    foreign("mirostat_tau", never),
    foreign("mirostat_eta", never),
    foreign("tfs_z", is_one),
];

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}
