//! Log lines on standard error.

use std::fmt;
use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::arguments::LogFormat;

/// Which log lines are written; it can be changed while they are.
pub(crate) struct LogLevel(Box<dyn Fn(EnvFilter) -> Result<()> + Send + Sync>);

impl fmt::Debug for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogLevel")
    }
}

impl LogLevel {
    /// Writes what `level` says from now on.
    pub(crate) fn set(&self, level: &str) -> Result<()> {
        let filter = EnvFilter::try_new(level);
        (self.0)(filter.with_context(|| format!("the log level {level:?}"))?)
    }
}

/// A level that can be set.
pub(crate) fn checked(level: &str) -> Result<String, String> {
    match EnvFilter::try_new(level) {
        Ok(_) => Ok(level.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Starts logging for the process.
pub(crate) fn start(format: LogFormat, level: &str) -> LogLevel {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that finds no room would be told with a macro that panics, in the midst of a request.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            LogLevel(Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            LogLevel(Box::new(move |filter| Ok(handle.reload(filter)?)))
        }
    }
}
