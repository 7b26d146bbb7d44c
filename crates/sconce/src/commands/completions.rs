//! `sconce completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Prints the completion script for `shell`.
pub(crate) fn print(shell: Shell) {
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "sconce",
        &mut std::io::stdout(),
    );
}
