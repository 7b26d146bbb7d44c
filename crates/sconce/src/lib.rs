//! The product as a library: what `main` calls, and what black-box tests start.

mod access;
mod arguments;
mod byte_count;
mod commands;
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
mod recording;
mod signals;
mod sizing;
mod usage_file;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

pub use paths::cache_root;

/// Runs the command line and says how it went. Everything that fails says so on standard error.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_format);
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Completions { shell } = arguments.command {
        commands::completions::print(shell);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve(serve) => commands::serve::run(serve, &arguments.fetch).await,
            Command::Models { action } => commands::models::run(action, &arguments.fetch).await,
            Command::Chat(chat) => commands::chat::run(chat).await,
            Command::Keys { action } => commands::keys::run(action),
            Command::Records { action } => commands::records::run(action),
            Command::Doctor(doctor) => commands::doctor::run(doctor, &arguments.fetch).await,
            Command::Completions { .. } => Ok(()),
        }
    });
    // Reading standard input blocks a thread that nothing can wake; the process need not wait for it.
    runtime.shutdown_background();
    done
}
