//! The repository as the rules see it: files with their text, and nothing generated.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::{self, Views};

/// A file and its text.
#[derive(Debug, Clone)]
pub(crate) struct TextFile {
    /// Relative to the repository's root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A Rust file, with code and comments told apart.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) views: Views,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            views: lexer::split(text),
        }
    }

    /// Whether the file is itself a test or a measurement, or this crate.
    pub(crate) fn is_test(&self) -> bool {
        let folders: Vec<&str> = self.path.split('/').collect();
        let (_, folders) = folders.split_last().expect("a path has a last part");
        folders
            .iter()
            .any(|it| matches!(*it, "tests" | "benches" | "examples"))
    }
}

/// What a rule found, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offence {
    pub(crate) place: String,
    pub(crate) what: String,
}

impl Offence {
    pub(crate) fn at_line(path: &str, line_index: usize, what: impl Into<String>) -> Self {
        Self {
            place: format!("{path}:{}", line_index + 1),
            what: what.into(),
        }
    }

    pub(crate) fn at(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// Everything the rules look at.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    pub(crate) cards: Vec<TextFile>,
    /// The manifests of the packages, without the root's.
    pub(crate) manifests: Vec<TextFile>,
    pub(crate) root_manifest: TextFile,
    pub(crate) clippy_files: Vec<TextFile>,
    pub(crate) scripts: Vec<TextFile>,
    /// Names at the top level, dotfiles and what git ignores left out.
    pub(crate) top_level: Vec<String>,
}

impl Tree {
    pub(crate) fn read() -> Self {
        let root = root();
        let files: Vec<TextFile> = walk(&root, &root);
        let pick = |wanted: fn(&str) -> bool| -> Vec<TextFile> {
            files
                .iter()
                .filter(|it| wanted(&it.path))
                .cloned()
                .collect()
        };
        let rust = pick(|path| path.ends_with(".rs"));
        assert!(
            rust.len() > 20,
            "found only {} Rust files: is {root:?} the root?",
            rust.len()
        );
        Self {
            sources: rust
                .iter()
                .map(|it| Source::new(&it.path, &it.text))
                .collect(),
            cards: pick(|path| path.starts_with("models/") && path.ends_with(".toml")),
            manifests: pick(|path| path.ends_with("/Cargo.toml")),
            root_manifest: pick(|path| path == "Cargo.toml").remove(0),
            clippy_files: pick(|path| path.ends_with("clippy.toml")),
            scripts: pick(|path| path.starts_with("scripts/") || path.starts_with(".ci/")),
            top_level: top_level(&root),
        }
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the package tests lies in the workspace's folder")
        .to_owned()
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let listing = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut entries: Vec<(String, PathBuf)> = listing
        .map(|it| it.expect("a folder that opened can be listed"))
        .map(|it| (it.file_name().to_string_lossy().into_owned(), it.path()))
        .collect();
    entries.sort();
    entries
}

/// Text files below `folder`. Dotted folders other than `.ci` belong to tools.
fn walk(root: &Path, folder: &Path) -> Vec<TextFile> {
    let mut files = Vec::new();
    for (name, path) in entries(folder) {
        if path.is_dir() {
            if name == ".ci" || !(name.starts_with('.') || name == "target") {
                files.extend(walk(root, &path));
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).expect("the walk began at the root");
            let path = relative.to_string_lossy().replace('\\', "/");
            files.push(TextFile { path, text });
        }
    }
    files
}

fn top_level(root: &Path) -> Vec<String> {
    let names = entries(root).into_iter().map(|(name, _)| name);
    names
        .filter(|it| !it.starts_with('.') && it != "target")
        .collect()
}
