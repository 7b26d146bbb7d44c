//! No model family is named in the product outside `families.rs`: models are data.

use std::collections::BTreeSet;

use super::lexer::test_module;
use super::tree::{Offence, Source};

const FAMILIES: &[&str] = &[
    "chatglm",
    "deepseek",
    "exaone",
    "falcon",
    "gemma",
    "gpt-oss",
    "gpt_oss",
    "granite",
    "llama",
    "mistral",
    "mixtral",
    "olmo",
    "phi",
    "qwen",
    "smollm",
    "starcoder",
];

/// The one file that may name families.
const FAMILIES_FILE: &str = "crates/sconce-model/src/families.rs";

/// Programs whose names contain a family's.
const PROGRAMS: &[&str] = &["llama.cpp", "llama-server", "llama-cpp"];

/// A file that may name some families, and why.
#[derive(Debug)]
pub(crate) struct Exception {
    path: &'static str,
    families: &'static [&'static str],
    reason: &'static str,
}

/// The exceptions. A family that its file names no more must go.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        path: "crates/sconce-text/src/tokenizer/words.rs",
        families: &[
            "deepseek",
            "falcon",
            "llama",
            "olmo",
            "phi",
            "qwen",
            "smollm",
            "starcoder",
        ],
        reason: "GGUF's tokenizer.ggml.pre calls a way to split words after who used it first",
    },
    Exception {
        path: "crates/sconce-text/src/vocabulary.rs",
        families: &["llama"],
        reason: "GGUF's tokenizer.ggml.model calls the SentencePiece format so",
    },
];

/// Whether `line[at..]`, which spells a family in any case, is a word of its own: `qwen2`,
/// `QwenSpec` and `LLAMA_ROPE` are, `sophia` and `philosophy` are not.
fn stands_alone(line: &str, at: usize, length: usize) -> bool {
    let name = &line[at..at + length];
    let first = name.chars().next().expect("a family's name is not empty");
    let before = line[..at].chars().next_back();
    let after = line[at + length..].chars().next();
    let shouted = name.chars().all(|it| !it.is_lowercase());
    let begins =
        before.is_none_or(|it| !it.is_alphabetic() || (it.is_lowercase() && first.is_uppercase()));
    let ends = after.is_none_or(|it| !(it.is_lowercase() || (shouted && it.is_alphabetic())));
    begins && ends
}

/// The families that `line` names.
fn named(line: &str) -> BTreeSet<&'static str> {
    let lower = line.to_ascii_lowercase();
    let is_program = |at: usize| PROGRAMS.iter().any(|it| lower[at..].starts_with(it));
    let names = |family: &&&str| {
        let mut places = lower.match_indices(**family).map(|(at, _)| at);
        places.any(|at| stands_alone(line, at, family.len()) && !is_program(at))
    };
    FAMILIES.iter().filter(names).copied().collect()
}

/// Lines of the product that name a family in code or in a literal, and exceptions nobody needs.
/// Comments are free: each variant of the spec says there which family needs it.
pub(crate) fn offenders(sources: &[Source], exceptions: &[Exception]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut used = BTreeSet::new();
    let is_product = |it: &&Source| {
        (it.path.starts_with("crates/") || it.path.starts_with("kernels/"))
            && it.path != FAMILIES_FILE
            && !it.is_test()
    };
    let is_excepted = |path: &str, family: &str| {
        exceptions
            .iter()
            .any(|it| it.path == path && it.families.contains(&family))
    };
    for source in sources.iter().filter(is_product) {
        let tests = test_module(&source.text);
        let lines = source
            .views
            .compiled
            .lines()
            .enumerate()
            .filter(|(index, _)| !tests.contains(index));
        for (index, line) in lines {
            for family in named(line) {
                if is_excepted(&source.path, family) {
                    used.insert((source.path.as_str(), family));
                } else {
                    offences.push(Offence::at_line(
                        &source.path,
                        index,
                        format!("names {family}"),
                    ));
                }
            }
        }
    }
    for exception in exceptions {
        let is_stale = |it: &&&str| !used.contains(&(exception.path, **it));
        let stale = exception.families.iter().filter(is_stale);
        let what = |family| format!("needs no exception for {family} ({})", exception.reason);
        offences.extend(stale.map(|it| Offence::at(exception.path, what(it))));
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_dress() {
        for line in [
            "let qwen2 = 1;",
            "struct QwenSpec;",
            "LLAMA_ROPE",
            "\"Phi-3\"",
            "// as Gemma does",
            "fn is_smollm()",
            "MyLlama",
            "\"SmolLM2-135M\"",
            "\"gpt-oss\"",
        ] {
            assert_eq!(named(line).len(), 1, "{line}");
        }
    }

    #[test]
    fn other_words_are_left_alone() {
        for line in [
            "philosophy",
            "sophisticated",
            "SOPHIA",
            "delphi",
            "as llama.cpp does",
            "dolphin",
        ] {
            assert!(named(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn the_product_is_searched_and_the_families_file_is_not() {
        let text =
            "//! x\n// qwen\nlet a = \"llama\";\n#[cfg(test)]\nmod tests {\n    fn qwen() {}\n}\n";
        let found = |path: &str| offenders(&[Source::new(path, text)], &[]).len();
        assert_eq!(found("crates/sconce-model/src/decoder.rs"), 1);
        assert_eq!(found("kernels/src/lib.rs"), 1);
        assert_eq!(found(FAMILIES_FILE), 0);
        assert_eq!(found("crates/sconce-text/tests/chat.rs"), 0);
        assert_eq!(found("tests/src/lib.rs"), 0);
    }

    #[test]
    fn an_exception_covers_its_families_in_one_file_and_must_be_needed() {
        let path = "crates/sconce-text/src/pre.rs";
        let exceptions = [Exception {
            path,
            families: &["llama"],
            reason: "a format's name",
        }];
        let check = |text: &str| offenders(&[Source::new(path, text)], &exceptions).len();
        assert_eq!(check("llama"), 0);
        assert_eq!(check("llama qwen"), 1);
        assert_eq!(check("nothing"), 1);
    }
}
