//! Finds data beside the workspace that may not be shipped with it.

use std::path::PathBuf;

/// The folder of that name, or `None` with a printed reason.
#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = workspace.join("../shared").join(name);
    if folder.is_dir() {
        Some(folder)
    } else {
        eprintln!("skipped: no folder ../shared/{name} beside the workspace");
        None
    }
}

/// The lines of a file of JSON lines.
pub(crate) fn json_lines(path: PathBuf) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("the file is readable");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("the line is JSON"))
        .collect()
}
