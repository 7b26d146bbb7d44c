//! The core decides and never acts: no async, thread, clock, file, environment or random order.

use super::lexer::word_positions;
use super::tree::{Offence, Source, TextFile};

const PURE: &[&str] = &[
    "sconce-kv",
    "sconce-scheduler",
    "sconce-sampling",
    "sconce-engine",
    "sconce-limits",
];

/// Words that no source of a pure crate uses, in its unit tests neither.
const WORDS: &[&str] = &[
    "async",
    "await",
    "fs",
    "thread",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "File",
    "Mutex",
    "RwLock",
    "env",
    "net",
    "rand",
];

/// Paths that the pure crates' clippy.toml forbids.
const BANS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::fs::File::open",
    "std::env::var",
    "std::collections::HashMap",
    "std::collections::HashSet",
];

/// Words of the impure world in the sources of pure crates.
pub(crate) fn impurities(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let is_pure = |path: &str| {
        PURE.iter()
            .any(|it| path.starts_with(&format!("crates/{it}/src/")))
    };
    for source in sources.iter().filter(|it| is_pure(&it.path)) {
        for (index, line) in source.views.code.lines().enumerate() {
            let found = WORDS
                .iter()
                .filter(|it| word_positions(line, it).next().is_some());
            offences.extend(
                found.map(|it| Offence::at_line(&source.path, index, format!("says `{it}`"))),
            );
        }
    }
    offences
}

/// Pure crates whose own clippy.toml is missing or lacks a ban.
pub(crate) fn missing_bans(clippy_files: &[TextFile]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for package in PURE {
        let path = format!("crates/{package}/clippy.toml");
        let Some(file) = clippy_files.iter().find(|it| it.path == path) else {
            offences.push(Offence::at(path, "is missing"));
            continue;
        };
        let banned = banned_paths(&file.text);
        let lacking = BANS
            .iter()
            .filter(|it| !banned.iter().any(|banned| banned == *it));
        offences.extend(lacking.map(|it| Offence::at(&path, format!("does not forbid {it}"))));
    }
    offences
}

fn banned_paths(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let lists = ["disallowed-methods", "disallowed-types"]
        .iter()
        .filter_map(|it| table.get(*it));
    let entries = lists.filter_map(toml::Value::as_array).flatten();
    let paths = entries.filter_map(|it| it.get("path")?.as_str());
    paths.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_impure_word_is_found() {
        for word in WORDS {
            let text = format!("//! {word}\nuse x::{{{word}, y}};\n");
            let found = |path: &str| impurities(&[Source::new(path, &text)]).len();
            assert_eq!(found("crates/sconce-kv/src/pool.rs"), 1, "{word}");
            assert_eq!(found("crates/sconce-pipeline/src/lib.rs"), 0, "{word}");
        }
    }

    #[test]
    fn each_lacking_ban_is_found() {
        let whole = BANS.map_to_toml();
        let files = |text: &str| -> Vec<TextFile> {
            let path = |it: &&str| format!("crates/{it}/clippy.toml");
            PURE.iter()
                .map(|it| TextFile {
                    path: path(it),
                    text: text.to_owned(),
                })
                .collect()
        };
        assert!(missing_bans(&files(&whole)).is_empty());
        for ban in BANS {
            let lacking = whole.replace(&format!("\"{ban}\""), "\"std::other\"");
            assert_eq!(missing_bans(&files(&lacking)).len(), PURE.len(), "{ban}");
        }
        assert_eq!(missing_bans(&files(&whole)[1..]).len(), 1);
    }

    trait MapToToml {
        fn map_to_toml(&self) -> String;
    }

    impl MapToToml for &[&str] {
        fn map_to_toml(&self) -> String {
            let entries: Vec<String> = self
                .iter()
                .map(|it| format!("{{ path = \"{it}\" }}"))
                .collect();
            format!("disallowed-methods = [{}]", entries.join(", "))
        }
    }
}
