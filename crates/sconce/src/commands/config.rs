//! `sconce config`: what a config file may say, whether one is good, and what holds in the end.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};

use crate::access::Entrance;
use crate::arguments::{Arguments, Command, ConfigAction, FetchArguments, ServeArguments};
use crate::config::{Fault, Merged, Shown, Told, merge, schema};
use crate::output::say;
use crate::{declaring, sizing};

/// Does what was asked.
pub(crate) fn run(action: ConfigAction, merged: &Merged) -> Result<()> {
    match action {
        ConfigAction::Schema => say(&format!("{:#}", schema())),
        ConfigAction::Show(_) => {
            for setting in merged.told() {
                say(&line(&setting));
            }
        }
        ConfigAction::Check { file } => check(&file)?,
    }
    Ok(())
}

/// A line of a config file, with where its value comes from.
fn line(setting: &Told) -> String {
    let Told {
        key,
        values,
        origin,
        shown,
    } = setting;
    let quoted = |it: &String| match it.parse::<i64>() {
        Ok(_) => it.clone(),
        Err(_) if *shown == Shown::Flag => it.clone(),
        Err(_) => format!("{it:?}"),
    };
    match &values[..] {
        [] => format!("# {key} is not set"),
        _ if *shown == Shown::Secret => format!("# {key} is not shown  # {origin}"),
        [value] => format!("{key} = {}  # {origin}", quoted(value)),
        values => {
            let values: Vec<String> = values.iter().map(quoted).collect();
            format!("{key} = [{}]  # {origin}", values.join(", "))
        }
    }
}

/// Looks at everything that a server would look at before it loads a model.
fn check(file: &PathBuf) -> Result<()> {
    let line = ["sconce", "serve", "--config"].map(OsString::from);
    let words = [&line[..], &[file.into()]].concat();
    let read = merge(&words).and_then(|it| it.arguments());
    let Arguments { command, fetch, .. } = read.map_err(|fault| match fault {
        Fault::File(error) => error,
        Fault::CommandLine(error) => anyhow!("{error}"),
    })?;
    let Command::Serve(serve) = command else {
        bail!("the config is for `sconce serve`");
    };
    let notes = problems(&serve, &fetch)?;
    for note in &notes {
        say(&format!("note: {note}"));
    }
    say(&format!("{} is good", file.display()));
    Ok(())
}

/// What is not wrong but worth to know.
///
/// # Errors
/// If the server could not start like this.
fn problems(serve: &ServeArguments, fetch: &FetchArguments) -> Result<Vec<String>> {
    Entrance::check(&serve.access)?;
    let free = sizing::free_memory_bytes();
    declaring::check(serve, fetch)?;
    let mut notes = Vec::new();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(threads) = serve.threads.filter(|it| it.get() as usize > processors) {
        notes.push(format!(
            "threads is {threads}, and this machine has {processors} processors"
        ));
    }
    if let (Some(wanted), Some(free)) = (serve.sharing.memory_max, free)
        && wanted > free
    {
        notes.push(format!(
            "memory_max is {wanted} bytes, and {free} are free now"
        ));
    }
    Ok(notes)
}
