//! The `sconce` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sconce::run()
}
