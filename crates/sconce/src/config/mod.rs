//! One TOML file for everything that `sconce serve` takes.
//!
//! There is one definition of an option: the command line's. A file says the same by the same names, with
//! `_` for `-`; what it says is put into words of the command line and read by the same parser, so that
//! every check holds for both. The command line wins over the environment, and that over the file.

mod file;
mod merge;
mod options;
mod schema;

pub(crate) use merge::{Fault, Merged, Shown, Told, merge};
pub(crate) use schema::schema;
