//! Where findings go, and in which form.

use anyhow::{Context, Result};
use sconce_bench::report::Report;
use serde_json::Value;

use super::arguments::{Format, OutputArguments};
use crate::output::say;

/// Tells findings as they were asked for.
pub(super) fn tell(report: &Report, json: &Value, arguments: &OutputArguments) -> Result<()> {
    let text = match arguments.format {
        Format::Table => report.text(),
        Format::Json => format!("{json:#}\n"),
        Format::Html => report.html(),
    };
    match &arguments.output {
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("the findings cannot be written to {}", path.display()))?;
            say(&format!("written to {}", path.display()));
        }
        None => say(text.trim_end()),
    }
    Ok(())
}
