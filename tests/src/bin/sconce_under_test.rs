//! The product itself, built in this package so that its tests know where the program is.

use std::process::ExitCode;

fn main() -> ExitCode {
    sconce::run()
}
