//! The JSON Schema Test Suite, forced through grammars, beside what llguidance's authors publish.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stage::{Fate, compiler, force, schema};

/// The suite, or `None` with a printed reason: it lies beside the workspace, if at all.
#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn folder() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = workspace.join("../shared/data/json");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no folder ../shared/data/json beside the workspace");
    None
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What becomes of an instance, and the word that llguidance's own results have for that.
fn outcome(schema_text: &str, data: &str, valid: bool) -> (&'static str, &'static [&'static str]) {
    let Ok(compiled) = compiler().compile(&schema(schema_text)) else {
        let words = &[
            "skip_compile",
            "compile_error_valid",
            "compile_error_all_invalid",
        ];
        return ("its schema is refused", words);
    };
    let taken = force(compiled.begin().as_mut(), data) == Fate::Taken;
    match (taken, valid) {
        (true, false) => ("it is invalid and taken", &[]),
        (false, true) => ("it is valid and refused", &["false_negative"]),
        _ => ("it is judged rightly", &["pass"]),
    }
}

#[test]
fn the_suite_is_judged_as_llguidance_publishes_and_nothing_invalid_is_taken() {
    let Some(folder) = folder() else {
        return;
    };
    let published = read(&folder.join("json-schema-2020-12-llguidance.json"));
    let (mut known, mut offences) = (0, Vec::new());
    for entry in std::fs::read_dir(folder.join("json-schema-2020-12")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for group in read(&path).as_array().unwrap() {
            let name = group["description"].as_str().unwrap();
            for test in group["tests"].as_array().unwrap() {
                let title = test["description"].as_str().unwrap();
                let (data, valid) = (&test["data"], test["valid"].as_bool().unwrap());
                let (ours, words) = outcome(&group["schema"].to_string(), &data.to_string(), valid);
                let theirs = published[&file][name][title].as_str();
                known += usize::from(theirs.is_some());
                let is_same = theirs.map_or(!words.is_empty(), |it| words.contains(&it));
                if !is_same {
                    let what = format!("{file}: {name}: {title}: {data}: {ours}, {theirs:?}");
                    offences.push(what);
                }
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    assert!(known > 1200, "only {known} results are known");
}
