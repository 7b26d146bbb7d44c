//! The product as a library: what `main` calls, and what black-box tests start.

mod access;
mod arguments;
mod byte_count;
mod commands;
mod config;
mod declaring;
mod encoder;
mod fetch;
mod grammars;
mod loading;
mod logging;
mod machine;
mod model_limit;
mod output;
mod paths;
mod record_arguments;
mod recording;
mod reload;
mod signals;
mod sizing;
mod usage_file;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use config::{Fault, Merged};
use logging::LogLevel;

pub use paths::cache_root;

/// A command, and all that was said to it.
struct Asked {
    arguments: Arguments,
    /// As it was typed.
    words: Vec<OsString>,
    merged: Merged,
    log_level: LogLevel,
}

/// Runs the command line and says how it went. Everything that fails says so on standard error.
#[must_use]
pub fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let read = config::merge(&words).and_then(|it| Ok((it.arguments()?, it)));
    let (arguments, merged) = match read {
        Ok(read) => read,
        Err(Fault::CommandLine(error)) => error.exit(),
        Err(Fault::File(error)) => return fail(&error),
    };
    let log_level = logging::start(arguments.log_format, &arguments.log_level);
    let asked = Asked {
        arguments,
        words,
        merged,
        log_level,
    };
    match execute(asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    output::complain(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

fn execute(asked: Asked) -> anyhow::Result<()> {
    let Asked {
        arguments,
        words,
        merged,
        log_level,
    } = asked;
    let Arguments { command, fetch, .. } = arguments;
    match command {
        Command::Completions { shell } => {
            commands::completions::print(shell);
            return Ok(());
        }
        Command::Config { action } => return commands::config::run(action, &merged),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(serve) => {
                let origin = (words, merged, log_level);
                commands::serve::run(*serve, &fetch, origin).await
            }
            Command::Models { action } => commands::models::run(action, &fetch).await,
            Command::Chat(chat) => commands::chat::run(chat).await,
            Command::Keys { action } => commands::keys::run(action),
            Command::Records { action } => commands::records::run(action),
            Command::Doctor(doctor) => commands::doctor::run(doctor, &fetch).await,
            Command::Bench { action } => commands::bench::run(action, &fetch).await,
            Command::Completions { .. } | Command::Config { .. } => Ok(()),
        }
    });
    // Reading standard input blocks a thread that nothing can wake; the process need not wait for it.
    runtime.shutdown_background();
    done
}
