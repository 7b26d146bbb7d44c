//! The template engine, set up as the templates of published models expect it.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::json;

/// What the template said when it refused.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl Refusal {
    /// The refusal that caused `error`, if one did.
    pub(super) fn behind(error: &Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(current) = cause {
            if let Some(refusal) = current.downcast_ref() {
                return Some(refusal);
            }
            cause = current.source();
        }
        None
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// An environment with everything that does not depend on a rendering.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the default delimiters are valid");
    environment.set_syntax(syntax);
    environment.set_debug(false);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", json::to_json);
    environment.add_test("iterable", is_iterable);
    // Meant for people who debug templates, and they take much more stack than all others.
    environment.remove_filter("pprint");
    environment.remove_global("debug");
    environment.add_function("raise_exception", raise_exception);
    environment
}

/// As in Python, where nothing is not a list without items.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

fn raise_exception(message: String) -> Result<String, Error> {
    let error = Error::new(ErrorKind::InvalidOperation, message.clone());
    Err(error.with_source(Refusal(message)))
}

/// Turns `{% generation %}` into a block that only opens a scope: it marks the model's own words
/// for training and writes nothing.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        match tag
            .trim_start_matches("{%")
            .trim_end_matches("%}")
            .trim_matches(is_marker_or_space)
        {
            "generation" => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_marker_or_space(character: char) -> bool {
    character == '-' || character == '+' || character.is_whitespace()
}
