//! Who may know what: HTTP, candle, the command line, the environment, unsafe code.

use super::layers::{Package, UseAt};
use super::lexer::{test_module, word_positions};
use super::tree::{Offence, Source};

/// Libraries by the first part of their name, and the packages that may use them. A library that
/// is not listed is free. The packages `sconce-tests` and `sconce-benches` see everything.
const OWNERS: &[(&str, &[&str])] = &[
    ("anyhow", &["sconce"]),
    ("axum", &["sconce-http"]),
    ("candle", &["sconce-model", "sconce-kernels"]),
    ("chacha20poly1305", &["sconce-store"]),
    ("clap", &["sconce"]),
    ("derivre", &["sconce-grammar"]),
    ("hf", &["sconce-catalog"]),
    ("hyper", &["sconce-http"]),
    ("llguidance", &["sconce-grammar"]),
    ("minijinja", &["sconce-text"]),
    (
        "serde",
        &[
            "sconce-text",
            "sconce-catalog",
            "sconce-keys",
            "sconce-store",
            "sconce-grammar",
            "sconce-model",
            "sconce-http",
            "sconce-bench",
            "sconce",
        ],
    ),
    ("tokenizers", &["sconce-text"]),
    (
        "tokio",
        &["sconce-catalog", "sconce-pipeline", "sconce-http", "sconce"],
    ),
    ("toktrie", &["sconce-grammar"]),
    ("tower", &["sconce-http"]),
];

/// A package that uses a fenced library although it does not own it.
#[derive(Debug)]
pub(crate) struct Exception {
    package: &'static str,
    library: &'static str,
    use_at: UseAt,
    reason: &'static str,
}

/// The exceptions. One that no manifest needs any more must go.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        package: "sconce-catalog",
        library: "axum",
        use_at: UseAt::Test,
        reason: "its tests fetch from a small hub that they run themselves",
    },
    Exception {
        package: "sconce-pipeline",
        library: "serde_json",
        use_at: UseAt::Test,
        reason: "its tests read the JSON log lines that records become",
    },
];

/// The one file outside kernels/ that may be unsafe: it maps a weights file into memory.
const UNSAFE_FILE: &str = "crates/sconce-model/src/gguf/mapping.rs";

fn owners_of(library: &str) -> Option<&'static [&'static str]> {
    let stem = library.split(['-', '_']).next()?;
    OWNERS
        .iter()
        .find(|(name, _)| *name == stem)
        .map(|(_, owners)| *owners)
}

/// Uses of fenced libraries by packages that neither own them nor are excepted.
pub(crate) fn strangers(packages: &[Package], exceptions: &[Exception]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut needed = vec![false; exceptions.len()];
    for package in packages {
        if matches!(package.name.as_str(), "sconce-tests" | "sconce-benches") {
            continue;
        }
        for dependency in &package.dependencies {
            let Some(owners) = owners_of(&dependency.name) else {
                continue;
            };
            if owners.contains(&package.name.as_str()) {
                continue;
            }
            let excepted = exceptions.iter().position(|it| {
                it.package == package.name
                    && it.library == dependency.name
                    && it.use_at == dependency.use_at
            });
            match excepted {
                Some(index) => needed[index] = true,
                None => offences.push(Offence::at(
                    &package.name,
                    format!(
                        "uses {}, which is known to {owners:?} only",
                        dependency.name
                    ),
                )),
            }
        }
    }
    let stale = exceptions.iter().zip(needed).filter(|(_, needed)| !needed);
    offences.extend(stale.map(|(it, _)| {
        let what = format!(
            "no longer needs its exception for {} ({})",
            it.library, it.reason
        );
        Offence::at(it.package, what)
    }));
    offences
}

/// Product code outside the binary that touches `std::env`. What the compiler reads (`env!`) is
/// free, and so are build scripts and tests.
pub(crate) fn environment_readers(sources: &[Source]) -> Vec<Offence> {
    let is_fenced = |source: &&Source| {
        let path = source.path.as_str();
        let is_product = path.starts_with("crates/") || path.starts_with("kernels/");
        is_product
            && !path.starts_with("crates/sconce/")
            && !path.ends_with("/build.rs")
            && !source.is_test()
    };
    let mut offences = Vec::new();
    for source in sources.iter().filter(is_fenced) {
        let tests = test_module(&source.text);
        for (index, line) in source.views.code.lines().enumerate() {
            // Neither a macro (`env!`) nor a method, which sets a child's environment.
            let reads = |at: usize| !line[at + 3..].starts_with('!') && !line[..at].ends_with('.');
            if !tests.contains(&index) && word_positions(line, "env").any(reads) {
                offences.push(Offence::at_line(
                    &source.path,
                    index,
                    "reads the environment",
                ));
            }
        }
    }
    offences
}

/// Files with the keyword `unsafe` that are neither in kernels/ nor the one that maps weights.
pub(crate) fn unsafe_users(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        if source.path.starts_with("kernels/") || source.path == UNSAFE_FILE {
            continue;
        }
        for (index, line) in source.views.code.lines().enumerate() {
            if word_positions(line, "unsafe").next().is_some() {
                offences.push(Offence::at_line(&source.path, index, "is unsafe"));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::super::layers::tests::package;
    use super::*;

    #[test]
    fn a_stranger_is_found_and_the_owner_is_not() {
        let packages = [
            package("sconce-http", &[("axum", UseAt::Run)]),
            package(
                "sconce-pipeline",
                &[("axum", UseAt::Run), ("candle-core", UseAt::Test)],
            ),
            package(
                "sconce-engine",
                &[("thiserror", UseAt::Run), ("tokio", UseAt::Run)],
            ),
            package("sconce-catalog", &[("clap_complete", UseAt::Run)]),
            package("sconce-tests", &[("axum", UseAt::Run)]),
        ];
        assert_eq!(strangers(&packages, &[]).len(), 4);
    }

    #[test]
    fn an_exception_covers_tests_only_and_must_be_needed() {
        let catalog = |use_at| [package("sconce-catalog", &[("axum", use_at)])];
        assert!(strangers(&catalog(UseAt::Test), &EXCEPTIONS[..1]).is_empty());
        assert_eq!(strangers(&catalog(UseAt::Run), &EXCEPTIONS[..1]).len(), 2);
        assert_eq!(
            strangers(&[package("sconce-catalog", &[])], &EXCEPTIONS[..1]).len(),
            1
        );
    }

    #[test]
    fn a_reader_of_the_environment_is_found() {
        let text = "//! x\nuse std::env;\nlet a = std::env::var(\"A\");\nlet b = env!(\"B\"); // env\nc.env(1);\n";
        let found = |path: &str| environment_readers(&[Source::new(path, text)]).len();
        assert_eq!(found("crates/sconce-catalog/src/lib.rs"), 2);
        assert_eq!(found("kernels/src/lib.rs"), 2);
        assert_eq!(found("crates/sconce/src/main.rs"), 0);
        assert_eq!(found("crates/sconce-catalog/build.rs"), 0);
        assert_eq!(found("crates/sconce-catalog/tests/hub.rs"), 0);
    }

    #[test]
    fn unsafe_is_found_where_it_may_not_be() {
        let text = "//! unsafe\n#[expect(unsafe_code, reason = \"unsafe\")]\nunsafe { f() }\n";
        let found = |path: &str| unsafe_users(&[Source::new(path, text)]);
        let place = "crates/sconce-model/src/decoder.rs";
        assert_eq!(found(place), [Offence::at_line(place, 2, "is unsafe")]);
        assert!(found("kernels/src/dot/x86_64.rs").is_empty());
        assert!(found(UNSAFE_FILE).is_empty());
    }
}
