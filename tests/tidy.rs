//! The architecture's fences, as ordinary tests: layers, sizes, names, purity.
//!
//! Each rule is a pure function over text or over `cargo metadata`, and has a test beside it that
//! plants an offender. A limit is tightened here, never loosened: an exception is a line in a
//! table, with its reason, and an exception that nothing needs any more is an offence itself.

mod tidy {
    pub(crate) mod knowledge;
    pub(crate) mod layers;
    pub(crate) mod lexer;
    pub(crate) mod manifests;
    pub(crate) mod model_names;
    pub(crate) mod purity;
    pub(crate) mod shape;
    pub(crate) mod tree;
}

use tidy::tree::{Offence, Tree};
use tidy::{knowledge, layers, manifests, model_names, purity, shape};

fn expect_none(rule: &str, offences: Vec<Offence>) {
    let lines: Vec<String> = offences.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{rule}\n  {}\n", lines.join("\n  "));
}

#[test]
fn every_package_has_a_layer() {
    let packages = layers::packages();
    expect_none(
        "each package stands once in LAYERS (tests/tidy/layers.rs), and nothing else does",
        layers::unplaced(&packages),
    );
}

#[test]
fn dependencies_point_down() {
    let packages = layers::packages();
    expect_none(
        "a package may use lower layers only",
        layers::upward(&packages),
    );
}

#[test]
fn only_their_owners_use_the_fenced_libraries() {
    let packages = layers::packages();
    expect_none(
        "HTTP, candle, the command line and the async runtime are known to their owners only",
        knowledge::strangers(&packages, knowledge::EXCEPTIONS),
    );
}

#[test]
fn only_the_binary_reads_the_environment() {
    expect_none(
        "a crate gets its values as arguments; only sconce reads the environment",
        knowledge::environment_readers(&Tree::read().sources),
    );
}

#[test]
fn unsafe_code_lives_in_kernels_and_one_file_of_model() {
    expect_none(
        "unsafe belongs into kernels/, or into the one file that maps a weights file",
        knowledge::unsafe_users(&Tree::read().sources),
    );
}

#[test]
fn no_model_is_named_outside_the_families_and_the_cards() {
    expect_none(
        "families are data: name them in crates/sconce-model/src/families.rs and models/ only",
        model_names::offenders(&Tree::read().sources, model_names::EXCEPTIONS),
    );
}

#[test]
fn no_file_is_longer_than_the_limit() {
    expect_none(
        "a file that holds two ideas becomes two files",
        shape::long_files(&Tree::read().sources),
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    expect_none(
        "the first line of a module is a `//!` sentence",
        shape::without_head_line(&Tree::read().sources),
    );
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    expect_none(
        "name the noun the module is about",
        shape::empty_names(&Tree::read().sources),
    );
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    expect_none(
        "use #[expect(lint, reason = …)], which tells when it is no longer needed",
        shape::allows(&Tree::read().sources),
    );
}

#[test]
fn no_size_limit_has_more_exceptions_than_the_ratchet_counts() {
    expect_none(
        "a function fits a screen; lower SIZE_EXCEPTIONS_MAX when you remove an exception",
        shape::size_exceptions(&Tree::read().sources, shape::SIZE_EXCEPTIONS_MAX),
    );
}

#[test]
fn nothing_is_left_to_be_done_later() {
    expect_none(
        "unfinished work belongs into an issue, not into the code",
        shape::unfinished(&Tree::read().sources),
    );
}

#[test]
fn the_top_level_holds_only_what_the_design_lists() {
    expect_none(
        "a new top-level entry needs a reason in crates/README.md and a line in TOP_LEVEL",
        manifests::strange_entries(&Tree::read().top_level),
    );
}

#[test]
fn every_model_card_has_golden_tokens() {
    expect_none(
        "a card without golden tokens is a promise nobody checks",
        manifests::cards_without_golden(&Tree::read().cards),
    );
}

#[test]
fn every_crate_opts_into_the_workspace_lints() {
    expect_none(
        "a manifest says [lints] workspace = true",
        manifests::without_lints(&Tree::read().manifests),
    );
}

#[test]
fn the_lints_of_the_workspace_stay_on() {
    let tree = Tree::read();
    expect_none(
        "the fences of the workspace are only ever added to",
        manifests::missing_lints(&tree.root_manifest),
    );
}

#[test]
fn no_clippy_threshold_is_loosened() {
    expect_none(
        "thresholds only ever fall, and each clippy.toml repeats them",
        manifests::loose_thresholds(&Tree::read().clippy_files),
    );
}

#[test]
fn the_pure_crates_forbid_what_is_impure() {
    expect_none(
        "the core has no clock, thread, file, environment or random order",
        purity::missing_bans(&Tree::read().clippy_files),
    );
}

#[test]
fn the_pure_crates_are_pure() {
    expect_none(
        "time and seed are arguments; a decision that needs `await` is in the wrong crate",
        purity::impurities(&Tree::read().sources),
    );
}

#[test]
fn scripts_are_thin() {
    expect_none(
        "a script that grows becomes Rust",
        shape::long_scripts(&Tree::read().scripts),
    );
}
