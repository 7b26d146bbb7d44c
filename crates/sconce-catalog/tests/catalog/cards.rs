//! The cards of `models/`: each is complete, and agrees with what llama.cpp recorded.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sconce_catalog::{Catalog, ModelCard};
use serde_json::Value;

/// How far the likeliest token must be ahead for every correct kernel to choose it.
const GAP_NATS_MIN: f64 = 0.5;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn card_texts() -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join("models")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "toml"));
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_card_is_built_in_and_is_named_as_its_file() {
    let catalog = Catalog::builtin();
    let texts = card_texts();
    assert_eq!(catalog.cards().len(), texts.len());
    for (name, _) in texts {
        assert_eq!(catalog.find(&name).map(|card| &card.name), Some(&name));
    }
}

#[test]
fn every_golden_is_what_llama_cpp_recorded_up_to_its_first_near_tie() {
    let folder = root().join("../shared/reference");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: there is no folder ../shared/reference");
        return;
    };
    let catalog = Catalog::builtin();
    let mut goldens_checked = 0;
    for path in entries.map(|it| it.unwrap().path()) {
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let recorded: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let sha256 = recorded["sha256"].as_str().unwrap();
        if let Some(card) = catalog
            .cards()
            .iter()
            .find(|it| it.sha256.to_string() == sha256)
        {
            goldens_checked += check_goldens(card, &recorded);
        }
    }
    let goldens: usize = catalog.cards().iter().map(|it| it.goldens.len()).sum();
    assert_eq!(goldens_checked, goldens);
}

fn check_goldens(card: &ModelCard, recorded: &Value) -> usize {
    let tokens = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    for golden in &card.goldens {
        let completions = recorded["completions"].as_array().unwrap();
        let completion = completions
            .iter()
            .find(|it| it["prompt"] == golden.prompt.as_str());
        let completion = completion.expect("the prompt was recorded");
        assert_eq!(golden.prompt_tokens, tokens(&completion["prompt_tokens"]));
        assert!(
            tokens(&completion["tokens"]).starts_with(&golden.tokens),
            "{}",
            golden.prompt
        );
        for top in &completion["top_logprobs"].as_array().unwrap()[..golden.tokens.len()] {
            let gap = top[0][1].as_f64().unwrap() - top[1][1].as_f64().unwrap();
            assert!(gap >= GAP_NATS_MIN, "{}: a gap of {gap}", golden.prompt);
        }
    }
    card.goldens.len()
}

/// What is said of a card that has `old` once it has `new` there.
fn fault_of(old: &str, new: &str) -> String {
    let with_hub = |it: &&(String, String)| it.1.contains("\"hub\"") && it.1.contains(old);
    let texts = card_texts();
    let found = texts.iter().find(with_hub);
    let found = found.or_else(|| texts.iter().find(|it| it.1.contains(old)));
    let (name, text) = found.expect("a card has the old text");
    ModelCard::parse(name, &text.replacen(old, new, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_wrong_card_is_refused_with_the_reason() {
    for (old, new, reason) in [
        ("family = ", "famly = ", "unknown field `famly`"),
        ("sha256 = \"", "sha256 = \"z", "64 hexadecimal digits"),
        ("kind = \"hub\"", "kind = \"ftp\"", "unknown variant `ftp`"),
        (
            "revision = \"",
            "revision = \"../",
            "is no branch, tag or commit",
        ),
        (
            "revision = ",
            "branch = \"x\"\nrevision = ",
            "unknown field `branch`",
        ),
        ("version = \"", "version = \"--", "is no exact package"),
        ("file = \"", "file = \"../", "is no plain name"),
        ("name = \"", "name = \"X", "is no model name"),
        ("bytes = ", "bytes = 0 # ", "bytes is empty"),
        (
            "prompt_tokens = [",
            "prompt_tokens = [] #",
            "a golden has no tokens",
        ),
        (
            "file = \"tokenizer.json\"",
            "file = \"../tokenizer.json\"",
            "is no plain path",
        ),
        (
            "file = \"tokenizer.json\"",
            "file = \"config.json\"",
            "is there twice",
        ),
        (
            "packages = [\n    { name = \"gt-",
            "packages = [\n{ name = \"a\", version = \"1\", member = \"b\" },{ name = \"gt-",
            "source 0 has no place for companion",
        ),
        ("kind = \"encoder\"", "kind = \"reader\"", "unknown variant"),
        ("kind = \"encoder\"", "", "at least one golden"),
    ] {
        let message = fault_of(old, new);
        assert!(message.contains(reason), "{old:?} -> {new:?}: {message}");
    }
}

#[test]
fn cards_that_do_not_go_together_are_refused() {
    let texts = card_texts();
    let pairs: Vec<(&str, &str)> = texts
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let twice: Vec<_> = pairs.iter().chain(&pairs).copied().collect();
    let message = Catalog::parse(&twice).unwrap_err().to_string();
    assert!(message.contains("belongs to another card"), "{message}");
    let message = Catalog::parse(&[]).unwrap_err().to_string();
    assert!(message.contains("0 cards are the default"), "{message}");
}

proptest! {
    #[test]
    fn a_damaged_card_never_panics(from in 0_usize..4000, length in 0_usize..40, new in ".{0,20}") {
        for (name, text) in card_texts() {
            let chars: Vec<char> = text.chars().collect();
            let (from, to) = (from.min(chars.len()), (from + length).min(chars.len()));
            let damaged = [&chars[..from], &new.chars().collect::<Vec<_>>(), &chars[to..]].concat();
            let _ = ModelCard::parse(&name, &damaged.iter().collect::<String>());
        }
    }
}
