//! The shape of files: length, head line, names, silenced lints, unfinished work.

use super::lexer::{test_module, word_positions};
use super::tree::{Offence, Source, TextFile};

const FILE_LINES_MAX: usize = 500;
const SCRIPT_LINES_MAX: usize = 50;
const EMPTY_NAMES: &[&str] = &[
    "base", "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

/// How many `#[expect]` of the size lints the whole tree may have. Lower it, never raise it.
pub(crate) const SIZE_EXCEPTIONS_MAX: usize = 0;

const SIZE_LINTS: &[&str] = &[
    "too_many_lines",
    "too_many_arguments",
    "fn_params_excessive_bools",
    "struct_excessive_bools",
];

/// Files above the limit, their test module apart.
pub(crate) fn long_files(sources: &[Source]) -> Vec<Offence> {
    let lines = |it: &Source| it.text.lines().count() - test_module(&it.text).len();
    let long = sources
        .iter()
        .map(|it| (it, lines(it)))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX);
    long.map(|(it, lines)| {
        Offence::at(
            &it.path,
            format!("has {lines} lines, {FILE_LINES_MAX} at most"),
        )
    })
    .collect()
}

/// Scripts above the limit.
pub(crate) fn long_scripts(scripts: &[TextFile]) -> Vec<Offence> {
    let long = scripts
        .iter()
        .filter(|it| it.text.lines().count() > SCRIPT_LINES_MAX);
    long.map(|it| {
        let lines = it.text.lines().count();
        Offence::at(
            &it.path,
            format!("has {lines} lines, {SCRIPT_LINES_MAX} at most"),
        )
    })
    .collect()
}

/// Modules that do not begin with a sentence about themselves.
pub(crate) fn without_head_line(sources: &[Source]) -> Vec<Offence> {
    let says_nothing = |it: &&Source| {
        let first = it.text.lines().next().unwrap_or_default();
        first
            .strip_prefix("//! ")
            .is_none_or(|it| it.trim().is_empty())
    };
    let silent = sources.iter().filter(says_nothing);
    silent
        .map(|it| Offence::at_line(&it.path, 0, "is not a `//!` sentence"))
        .collect()
}

/// Files, folders and inline modules whose names say nothing.
pub(crate) fn empty_names(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let parts = stem.split('/').filter(|it| EMPTY_NAMES.contains(it));
        offences.extend(parts.map(|it| Offence::at(&source.path, format!("is called {it}"))));
        for (index, line) in source.views.code.lines().enumerate() {
            let declares = |name: &&&str| {
                word_positions(line, "mod").any(|at| {
                    let rest = line[at + 3..].trim_start();
                    word_positions(rest, name).next() == Some(0)
                })
            };
            let names = EMPTY_NAMES.iter().filter(declares);
            offences.extend(
                names.map(|it| Offence::at_line(&source.path, index, format!("module {it}"))),
            );
        }
    }
    offences
}

/// Attributes that silence a lint for good.
pub(crate) fn allows(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        for (index, line) in source.views.code.lines().enumerate() {
            let in_attribute = line.contains("#[") || line.contains("#![");
            let silences = |at: usize| line[at..].starts_with("allow(");
            if in_attribute && word_positions(line, "allow").any(silences) {
                offences.push(Offence::at_line(&source.path, index, "allows a lint"));
            }
        }
    }
    offences
}

/// Exceptions from the size limits beyond the number that the ratchet allows.
pub(crate) fn size_exceptions(sources: &[Source], exceptions_max: usize) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        for (index, line) in source.views.code.lines().enumerate() {
            let lints = SIZE_LINTS
                .iter()
                .filter(|it| word_positions(line, it).next().is_some());
            let what = |it: &&str| format!("is an exception from {it}, {exceptions_max} at most");
            offences.extend(lints.map(|it| Offence::at_line(&source.path, index, what(it))));
        }
    }
    if offences.len() > exceptions_max {
        offences
    } else {
        Vec::new()
    }
}

/// Macros and marks of unfinished work.
pub(crate) fn unfinished(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources {
        let lines = source.views.code.lines().zip(source.views.comments.lines());
        for (index, (code, comment)) in lines.enumerate() {
            let called = |name: &&&str| {
                word_positions(code, name).any(|at| code[at + name.len()..].starts_with('!'))
            };
            let macros = ["todo", "unimplemented"].iter().filter(called).count();
            let marks = ["TODO", "FIXME", "XXX", "HACK"];
            let marks = marks
                .iter()
                .filter(|it| word_positions(comment, it).next().is_some());
            if macros + marks.count() > 0 || comment.contains("To be written") {
                offences.push(Offence::at_line(&source.path, index, "is unfinished"));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn a_long_file_is_found_and_its_test_module_does_not_count() {
        let body = "x\n".repeat(FILE_LINES_MAX);
        assert!(long_files(&source("a.rs", &body)).is_empty());
        assert_eq!(long_files(&source("a.rs", &format!("{body}x\n"))).len(), 1);
        let with_tests = format!("{body}#[cfg(test)]\nmod tests {{\n    x\n}}\n");
        assert!(long_files(&source("a.rs", &with_tests)).is_empty());
    }

    #[test]
    fn a_long_script_is_found() {
        let script = |lines: usize| {
            vec![TextFile {
                path: "scripts/a.sh".to_owned(),
                text: "x\n".repeat(lines),
            }]
        };
        assert!(long_scripts(&script(SCRIPT_LINES_MAX)).is_empty());
        assert_eq!(long_scripts(&script(SCRIPT_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_module_without_a_head_line_is_found() {
        assert!(without_head_line(&source("a.rs", "//! Says it.\nfn f() {}\n")).is_empty());
        for text in [
            "",
            "//!\n",
            "fn f() {}\n",
            "// no\n//! Too late.\n",
            "#![x]\n//! Late.\n",
        ] {
            assert_eq!(without_head_line(&source("a.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn an_empty_name_is_found_in_paths_and_declarations() {
        assert_eq!(empty_names(&source("crates/a/src/utils.rs", "")).len(), 1);
        assert_eq!(
            empty_names(&source("crates/a/src/misc/mod.rs", "")).len(),
            1
        );
        assert_eq!(
            empty_names(&source("a.rs", "pub(crate) mod common;\n")).len(),
            1
        );
        assert_eq!(empty_names(&source("a.rs", "mod helpers {}\n")).len(), 1);
        let innocent = "mod commons_reader; // mod utils\nlet base = 1;\n";
        assert!(empty_names(&source("database.rs", innocent)).is_empty());
    }

    #[test]
    fn a_silenced_lint_is_found() {
        for text in ["#[allow(x)]", "#![allow(x)]", "#[cfg_attr(test, allow(x))]"] {
            assert_eq!(allows(&source("a.rs", text)).len(), 1, "{text}");
        }
        let innocent = "#[expect(x)]\n// #[allow(x)]\nself.allow(x);\nlet a = \"#[allow(x)]\";\n";
        assert!(allows(&source("a.rs", innocent)).is_empty());
    }

    #[test]
    fn the_ratchet_counts_exceptions_from_the_size_limits() {
        let text = "#[expect(clippy::too_many_lines, reason = \"a table\")]\nfn f() {}\n";
        assert!(size_exceptions(&source("a.rs", text), 1).is_empty());
        assert_eq!(size_exceptions(&source("a.rs", text), 0).len(), 1);
        assert!(size_exceptions(&source("a.rs", "// too_many_lines\n"), 0).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        for text in [
            "todo!()",
            "unimplemented!(\"x\")",
            "// FIXME: x",
            "/* XXX */",
            "/// TODO x",
            "//! To be written.",
        ] {
            assert_eq!(unfinished(&source("a.rs", text)).len(), 1, "{text}");
        }
        assert!(unfinished(&source("a.rs", "let todo = 1; f(\"TODO\");\n")).is_empty());
    }
}
