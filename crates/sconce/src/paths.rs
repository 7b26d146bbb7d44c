//! Where Sconce keeps what it fetched, and what it must not forget.

use std::path::PathBuf;

/// The folder for models: `$SCONCE_CACHE`, else `$XDG_CACHE_HOME/sconce`, else `~/.cache/sconce`.
/// `None` if none of the three is known.
#[must_use]
pub fn cache_root() -> Option<PathBuf> {
    variable("SCONCE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("sconce")))
        .or_else(|| Some(variable("HOME")?.join(".cache/sconce")))
}

/// The folder for what must survive a restart: `$XDG_STATE_HOME/sconce`, else `~/.local/state/sconce`.
/// `None` if neither is known.
pub(crate) fn state_root() -> Option<PathBuf> {
    let of_user = || Some(variable("HOME")?.join(".local/state"));
    Some(variable("XDG_STATE_HOME").or_else(of_user)?.join("sconce"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|it| !it.is_empty())
        .map(PathBuf::from)
}
