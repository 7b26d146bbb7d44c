//! Our own sources as text: what the docs are compared with.

use std::collections::BTreeSet;
use std::path::Path;

use super::markdown::root;

/// Rust sources, one after the other.
pub(crate) struct Sources(pub(crate) String);

impl Sources {
    /// A file, or all Rust files below a folder.
    pub(crate) fn read(path: &str) -> Self {
        let mut text = String::new();
        gather(&root().join(path), &mut text);
        Self(text)
    }

    /// These and those of another folder.
    pub(crate) fn and(self, path: &str) -> Self {
        Self(self.0 + &Self::read(path).0)
    }
}

fn gather(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            gather(&entry.unwrap().path(), text);
        }
    } else if path.extension().is_some_and(|it| it == "rs") {
        text.push_str(&std::fs::read_to_string(path).unwrap());
    }
}

/// The string literals that stand directly behind `before`.
pub(crate) fn strings_after(sources: &Sources, before: &str) -> BTreeSet<String> {
    let begin = format!("{before}\"");
    let literals = sources.0.split(begin.as_str()).skip(1);
    literals
        .map(|it| it.split('"').next().unwrap_or_default().to_owned())
        .collect()
}
