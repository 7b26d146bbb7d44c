//! `sconce completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output::say_piece;

/// Prints the completion script for `shell`.
pub(crate) fn print(shell: Shell) {
    // Written to memory first: the generator panics when its reader is gone.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sconce", &mut script);
    say_piece(&String::from_utf8_lossy(&script));
}
