//! What stands in TOML and at the top level: lints, thresholds, model cards, entries.

use super::tree::{Offence, TextFile};

/// The top level of DESIGN.md. Dotfiles are tool configuration and free.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile.cuda",
    "LICENSE",
    "README.md",
    "benches",
    "crates",
    "deploy",
    "docs",
    "kernels",
    "models",
    "rust-toolchain.toml",
    "scripts",
    "tests",
];

/// The numbers of clippy.toml, each at most this.
const THRESHOLDS: &[(&str, i64)] = &[
    ("too-many-lines-threshold", 60),
    ("too-many-arguments-threshold", 5),
    ("max-fn-params-bools", 1),
    ("max-struct-bools", 1),
];

/// Lints that the workspace turns on, by tool.
const LINTS: &[(&str, &[&str])] = &[
    (
        "rust",
        &[
            "missing_debug_implementations",
            "missing_docs",
            "unreachable_pub",
            "unsafe_code",
        ],
    ),
    (
        "clippy",
        &[
            "allow_attributes",
            "allow_attributes_without_reason",
            "await_holding_lock",
            "dbg_macro",
            "fn_params_excessive_bools",
            "print_stderr",
            "print_stdout",
            "struct_excessive_bools",
            "todo",
            "too_many_arguments",
            "too_many_lines",
            "unimplemented",
            "unwrap_used",
        ],
    ),
];

/// Entries of the top level that the design does not list.
pub(crate) fn strange_entries(names: &[String]) -> Vec<Offence> {
    let strange = names.iter().filter(|it| !TOP_LEVEL.contains(&it.as_str()));
    strange
        .map(|it| Offence::at(it, "is not in the design's top level"))
        .collect()
}

/// Cards without golden tokens, or those of golden vectors, and a catalogue without cards.
pub(crate) fn cards_without_golden(cards: &[TextFile]) -> Vec<Offence> {
    if cards.is_empty() {
        return vec![Offence::at("models/", "has no card")];
    }
    let lacking = cards.iter().filter(|it| !has_golden(&it.text));
    lacking
        .map(|it| Offence::at(&it.path, "has no [[golden]] with tokens"))
        .collect()
}

fn has_golden(card: &str) -> bool {
    let Ok(table) = card.parse::<toml::Table>() else {
        return false;
    };
    let golden = table.get("golden").or_else(|| table.get("vector"));
    let Some(golden) = golden.and_then(toml::Value::as_array) else {
        return false;
    };
    let has_tokens = |it: &toml::Value| {
        let tokens = it.get("tokens").and_then(toml::Value::as_array);
        tokens.is_some_and(|it| !it.is_empty())
    };
    !golden.is_empty() && golden.iter().all(has_tokens)
}

/// The manifest that repeats the workspace's lints instead of taking them over, because cargo lets
/// no crate lift a single one, and the two it may leave out: the `unsafe` lives there, and nothing
/// there is async.
const OWN_LINTS: (&str, &[&str]) = ("kernels/Cargo.toml", &["unsafe_code", "await_holding_lock"]);

/// Packages that do not take the workspace's lints.
pub(crate) fn without_lints(manifests: &[TextFile]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for manifest in manifests {
        let table: toml::Table = manifest.text.parse().unwrap_or_default();
        let lints = table.get("lints");
        let inherited = lints
            .and_then(|it| it.get("workspace"))
            .and_then(toml::Value::as_bool);
        if inherited == Some(true) {
            continue;
        }
        if manifest.path == OWN_LINTS.0 {
            offences.extend(lints_off(&manifest.path, lints, OWN_LINTS.1));
        } else {
            offences.push(Offence::at(
                &manifest.path,
                "does not say [lints] workspace = true",
            ));
        }
    }
    offences
}

/// Lints of the list that the workspace's manifest no longer turns on.
pub(crate) fn missing_lints(root_manifest: &TextFile) -> Vec<Offence> {
    let table: toml::Table = root_manifest.text.parse().unwrap_or_default();
    let lints = table.get("workspace").and_then(|it| it.get("lints"));
    lints_off(&root_manifest.path, lints, &[])
}

fn lints_off(path: &str, lints: Option<&toml::Value>, free: &[&str]) -> Vec<Offence> {
    let is_on = |tool: &str, lint: &str| {
        let level = lints
            .and_then(|it| it.get(tool))
            .and_then(|it| it.get(lint));
        matches!(
            level.and_then(toml::Value::as_str),
            Some("warn" | "deny" | "forbid")
        )
    };
    let mut offences = Vec::new();
    for (tool, names) in LINTS {
        let off = names
            .iter()
            .filter(|it| !free.contains(it) && !is_on(tool, it));
        offences.extend(off.map(|it| Offence::at(path, format!("the {tool} lint {it} is off"))));
    }
    offences
}

/// Thresholds above the limits, and clippy files that do not repeat one.
pub(crate) fn loose_thresholds(clippy_files: &[TextFile]) -> Vec<Offence> {
    let mut offences = Vec::new();
    if !clippy_files.iter().any(|it| it.path == ".clippy.toml") {
        offences.push(Offence::at(".clippy.toml", "is missing"));
    }
    for file in clippy_files {
        let table: toml::Table = file.text.parse().unwrap_or_default();
        for (key, limit) in THRESHOLDS {
            let value = table.get(*key).and_then(toml::Value::as_integer);
            if value.is_none_or(|it| it > *limit) {
                let what = format!("{key} is {value:?}, at most {limit} wanted");
                offences.push(Offence::at(&file.path, what));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn all_lints(table: &str) -> String {
        let mut all = String::new();
        for (tool, names) in LINTS {
            all.push_str(&format!("[{table}.{tool}]\n"));
            for name in *names {
                all.push_str(&format!("{name} = \"warn\"\n"));
            }
        }
        all
    }

    #[test]
    fn a_strange_entry_is_found() {
        let names = ["crates", "LICENSE", "notes"].map(ToOwned::to_owned);
        assert_eq!(strange_entries(&names).len(), 1);
    }

    #[test]
    fn a_card_without_golden_tokens_is_found() {
        let good = "[[golden]]\nprompt = \"x\"\ntokens = [1, 2]\n";
        assert!(cards_without_golden(&[file("models/a.toml", good)]).is_empty());
        let vector = "[[vector]]\ntext = \"x\"\ntokens = [1]\n";
        assert!(cards_without_golden(&[file("models/a.toml", vector)]).is_empty());
        let empty = format!("{good}[[golden]]\nprompt = \"y\"\ntokens = []\n");
        for text in ["name = \"a\"\n", "golden = []\n", "not toml", &empty] {
            assert_eq!(
                cards_without_golden(&[file("models/a.toml", text)]).len(),
                1,
                "{text}"
            );
        }
        assert_eq!(cards_without_golden(&[]).len(), 1);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert!(without_lints(&[file("a/Cargo.toml", "[lints]\nworkspace = true\n")]).is_empty());
        for text in [
            "[package]\nname = \"a\"\n",
            "[lints]\nworkspace = false\n",
            "[lints.rust]\nx = \"warn\"\n",
        ] {
            assert_eq!(
                without_lints(&[file("a/Cargo.toml", text)]).len(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn each_lint_that_was_turned_off_is_found() {
        let all = all_lints("workspace.lints");
        assert!(missing_lints(&file("Cargo.toml", &all)).is_empty());
        for (_, names) in LINTS {
            for name in *names {
                let off = all.replace(
                    &format!("\n{name} = \"warn\""),
                    &format!("\n{name} = \"allow\""),
                );
                assert_eq!(missing_lints(&file("Cargo.toml", &off)).len(), 1, "{name}");
            }
        }
    }

    #[test]
    fn a_loosened_or_forgotten_threshold_is_found() {
        let lines = THRESHOLDS
            .iter()
            .map(|(key, limit)| format!("{key} = {limit}\n"));
        let good: String = lines.collect();
        assert!(loose_thresholds(&[file(".clippy.toml", &good)]).is_empty());
        let loose = good.replace("= 60", "= 61");
        assert_eq!(loose_thresholds(&[file(".clippy.toml", &loose)]).len(), 1);
        let crates = [
            file(".clippy.toml", &good),
            file("crates/a/clippy.toml", ""),
        ];
        assert_eq!(loose_thresholds(&crates).len(), THRESHOLDS.len());
        assert_eq!(loose_thresholds(&crates[1..]).len(), THRESHOLDS.len() + 1);
    }
}
