//! Weights files as they should be, as they should not be, and as nobody would write them.

mod claims;
mod draft;
mod encoders;
mod folders;
mod footprint;
mod hostile_files;
mod invariance;
mod mapping;
mod mutated_files;
mod parts;
mod references;
mod safetensors;
mod scores;
mod specs;
mod vocabularies;
mod windows;
mod word_cuts;

use std::io::Write;

use tempfile::NamedTempFile;

use crate::{ArchSpec, BlockTable, Decoder, LoadError};

const FAMILIES: [&str; 15] = [
    "gemma",
    "gemma2",
    "gemma3",
    "gpt-oss",
    "granite",
    "granitemoe",
    "llama",
    "olmo2",
    "olmoe",
    "phi3",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "smollm3",
];

/// A file of these bytes, deleted when dropped.
fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Groups of layers that have blocks of their own.
fn groups(spec: &ArchSpec) -> usize {
    Decoder::kv_groups(spec).count()
}

/// A sequence's blocks for each group of layers: `blocks`, moved on by `stride` from group to group.
fn tables(spec: &ArchSpec, blocks: &[u32], stride: u32) -> Vec<BlockTable> {
    BlockTable::whole_of_each(Decoder::kv_groups(spec), blocks, stride)
}

/// `name: ` and what came out, without the file's path, which differs from run to run.
fn line<T>(name: &str, outcome: Result<T, LoadError>) -> String {
    match outcome {
        Ok(_) => format!("{name}: accepted\n"),
        Err(error) => format!("{name}: {}\n", error.fault),
    }
}
