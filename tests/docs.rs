//! The README and docs/ are true: their commands run, their tables are those of the program.
//!
//! A shell block runs against a server of the default model, `sconce` being the program under test.
//! One that cannot be run here says why in its info string, `sh starts=…` or `sh needs=…`: it is
//! only parsed, and printed.
#![expect(
    clippy::unwrap_used,
    reason = "what a test's own set-up cannot do fails the test"
)]

mod docs {
    pub(crate) mod markdown;
    pub(crate) mod program;
    pub(crate) mod sources;
}

use std::collections::BTreeSet;
use std::path::Path;

use docs::markdown::{Block, Page, pages};
use docs::program::{Server, Shell};
use docs::sources::{Sources, strings_after};

#[test]
fn every_command_in_the_docs_can_be_run() {
    let blocks: Vec<Block> = pages().iter().flat_map(Page::shell_blocks).collect();
    assert!(blocks.len() > 10, "only {} blocks were found", blocks.len());
    let (server, shell) = (Server::start(), Shell::new());
    for block in blocks {
        let Block { page, info, text } = &block;
        let options: &[&str] = match info.as_str() {
            "sh" => &[],
            reason if reason.starts_with("sh starts=") || reason.starts_with("sh needs=") => {
                println!("{page}: not run, only parsed ({reason}):\n{text}");
                &["-n"]
            }
            other => panic!("{page}: no kind of shell block is called {other:?}"),
        };
        let commands = text.replace("127.0.0.1:8080", &server.address);
        let (succeeded, told) = shell.run(&commands, options);
        assert!(succeeded, "{page}:\n{commands}\n{told}");
        let is_silent = told.trim().is_empty();
        assert!(
            !options.is_empty() || !is_silent,
            "{page}: prints nothing:\n{commands}"
        );
    }
}

#[test]
fn every_metric_is_in_the_docs_and_no_other() {
    let (server, shell) = (Server::start(), Shell::new());
    let url = format!("http://{}", server.address);
    // Refusals are counted by reason, so their metric is there from the first one on.
    let refused =
        format!("curl -s {url}/v1/completions -d '{{\"model\": \"no\", \"prompt\": \"a\"}}'");
    let (_, told) = shell.run(&refused, &[]);
    assert!(told.contains("model_not_found"), "{told}");
    let (_, text) = shell.run(&format!("curl -s {url}/metrics"), &[]);
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    let found = types.map(|it| it.split(' ').next().unwrap().to_owned());
    let told = Page::read("docs/api.md").first_cells("Metrics");
    assert_eq!(told, found.collect());
}

#[test]
fn every_option_is_in_the_docs_and_no_other() {
    let shell = Shell::new();
    let mut found = BTreeSet::new();
    for command in [
        "serve",
        "chat",
        "doctor",
        "keys add",
        "keys list",
        "records list",
        "records show",
        "records export",
        "records verify",
        "records erase",
    ] {
        let (succeeded, help) = shell.run(&format!("sconce {command} --help"), &[]);
        assert!(succeeded, "{help}");
        let words = help.split_whitespace().filter(|it| it.starts_with("--"));
        found.extend(words.map(str::to_owned));
    }
    found.remove("--help");
    found.remove("--version");
    let spans = Page::read("docs/operations.md").spans();
    let told = spans.into_iter().filter(|it| it.starts_with("--"));
    assert_eq!(told.collect::<BTreeSet<_>>(), found);
}

#[test]
fn the_schema_that_is_published_is_the_one_that_is_made() {
    let (succeeded, made) = Shell::new().run("sconce config schema", &[]);
    assert!(succeeded, "{made}");
    let path = docs::markdown::root().join("docs/config.schema.json");
    let published = std::fs::read_to_string(path).unwrap();
    let lines = published.trim().lines().zip(made.trim().lines());
    let differs = lines
        .into_iter()
        .find(|(published, made)| published != made);
    assert!(
        published.trim() == made.trim(),
        "write it anew: sconce config schema > docs/config.schema.json; it differs in {differs:?}"
    );
}

#[test]
fn every_field_of_the_api_is_in_the_docs_and_no_other() {
    let wire = Sources::read("crates/sconce-http/src");
    let mut found = BTreeSet::new();
    for method in ["text", "flag", "number", "integer", "count", "take"] {
        found.extend(strings_after(&wire, &format!(".{method}(")));
    }
    found.extend(strings_after(&wire, "foreign("));
    assert!(found.len() > 40, "only {found:?} were found");
    let page = Page::read("docs/api.md");
    let unsaid = found.iter().filter(|it| !page.has_word(it));
    let unsaid: Vec<_> = unsaid.collect();
    assert!(unsaid.is_empty(), "docs/api.md lacks the fields {unsaid:?}");
    for section in [
        "Fields of both endpoints",
        "Fields of chats",
        "Fields of completions",
        "Tokens",
        "Embeddings",
        "Reranking and scores",
        "Anthropic's messages",
        "Ollama's API",
    ] {
        for field in page.first_cells(section) {
            let name = field.rsplit('.').next().unwrap();
            let is_real = wire.0.contains(&format!("\"{name}\""));
            assert!(is_real, "docs/api.md tells of a field {name}");
        }
    }
}

#[test]
fn every_error_code_is_in_the_docs_and_no_other() {
    let errors = Sources::read("crates/sconce-http/src/error.rs");
    let refusals = Sources::read("crates/sconce-pipeline/src/refusal.rs");
    let mut found = strings_after(&errors, "=> ");
    found.extend(strings_after(&refusals, "=> "));
    // Messages stand in such places, too; a code is one word.
    found.retain(|it| !it.contains(' '));
    assert!(found.len() > 20, "only {found:?} were found");
    let page = Page::read("docs/api.md");
    let told: BTreeSet<String> = page.spans().into_iter().collect();
    let unsaid: Vec<_> = found.difference(&told).collect();
    assert!(unsaid.is_empty(), "docs/api.md lacks the codes {unsaid:?}");
    let codes = page.cells("Errors", 2);
    let invented: Vec<_> = codes.difference(&found).collect();
    assert!(
        invented.is_empty(),
        "docs/api.md tells of codes {invented:?}"
    );
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for link in page.links() {
            assert!(page.resolves(&link), "{}: {link} leads nowhere", page.path);
        }
    }
}

#[test]
fn every_path_and_test_that_the_architecture_names_exists() {
    let root = docs::markdown::root();
    let page = Page::read("crates/README.md");
    let tests = Sources::read("crates").and("kernels").and("tests");
    for span in page.spans() {
        let is_name = span
            .bytes()
            .all(|it| it.is_ascii_lowercase() || b"_0123456789".contains(&it));
        if is_name && span.matches('_').count() > 2 {
            let is_there = tests.0.contains(&format!("fn {span}("));
            assert!(is_there, "crates/README.md names a test {span}");
        } else if span.contains('/') {
            let is_there = ["", "crates"]
                .iter()
                .any(|it| Path::new(&root).join(it).join(&span).exists());
            assert!(is_there, "crates/README.md names a file {span}");
        }
    }
}

#[test]
fn every_feature_that_is_claimed_is_shown_by_a_test() {
    let rows = Page::read("docs/features.md").rows();
    assert!(rows.len() > 40, "only {} features were found", rows.len());
    for row in rows {
        let (feature, sconce, shown) = (&row[0], &row[1], row.last().unwrap());
        let is_claimed = sconce != "no" && !sconce.starts_with("no ");
        assert_eq!(
            is_claimed,
            !shown.is_empty(),
            "{feature}: {sconce}, shown by {shown:?}"
        );
        for link in shown.split(", ").filter(|it| !it.is_empty()) {
            let (test, file) = link.split_once("](../").unwrap();
            let test = test.trim_matches(['[', '`']);
            let sources = Sources::read(file.trim_end_matches(')'));
            let is_there = sources.0.contains(&format!("fn {test}("));
            assert!(is_there, "{feature}: {file} has no test {test}");
        }
    }
}
