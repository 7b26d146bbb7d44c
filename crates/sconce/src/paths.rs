//! Where Sconce keeps what it fetched.

use std::path::PathBuf;

/// The folder for models: `$SCONCE_CACHE`, else `$XDG_CACHE_HOME/sconce`, else `~/.cache/sconce`.
/// `None` if none of the three is known.
#[must_use]
pub fn cache_root() -> Option<PathBuf> {
    variable("SCONCE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("sconce")))
        .or_else(|| Some(variable("HOME")?.join(".cache/sconce")))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|it| !it.is_empty())
        .map(PathBuf::from)
}
