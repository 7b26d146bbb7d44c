//! What can be typed behind `sconce bench`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::{KvCacheType, Quantize};

#[derive(Debug, Subcommand)]
pub(crate) enum BenchAction {
    /// Measure how fast a model reads prompts and decodes on this machine, beside what the machine gives.
    Model(BenchModelArguments),
}

#[derive(Debug, Args)]
pub(crate) struct BenchModelArguments {
    /// The model, as `sconce serve` takes it.
    #[arg(long, short, value_name = "MODEL", default_value = "default")]
    pub(crate) model: String,
    /// Threads that compute [default: one for each processor].
    #[arg(long, short, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
    /// Quantize matrices of floating-point numbers as they are loaded.
    #[arg(long, value_enum, value_name = "TYPE")]
    pub(crate) quantize: Option<Quantize>,
    /// How keys and values are stored.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f16")]
    pub(crate) kv_cache_type: KvCacheType,
    /// Lengths of prompts, in tokens.
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "128,512"
    )]
    pub(crate) prompt: Vec<u32>,
    /// Numbers of sequences that are decoded together.
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "1,8,32"
    )]
    pub(crate) decode: Vec<u32>,
    /// Tokens that each sequence has before; each prompt and batch is measured behind each of them.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    pub(crate) context: Vec<u32>,
    /// Tokens that each sequence decodes in one repetition.
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) decode_tokens: NonZeroU32,
    /// Tokens of a prompt that one step computes.
    #[arg(long, value_name = "N", default_value = "512")]
    pub(crate) step_tokens_max: NonZeroU32,
    /// How often each is measured, after once that is not counted.
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) repetitions: NonZeroU32,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

/// How findings are told.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// A table for the terminal, JSON, or one page of HTML with plots.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Write to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For the terminal.
    Table,
    /// For programs.
    Json,
    /// To be kept and sent.
    Html,
}
