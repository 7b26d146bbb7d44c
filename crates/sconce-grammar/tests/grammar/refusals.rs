//! What is not supported is refused by name, and what would take too long is refused soon.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sconce_domain::{Grammar, TokenId};
use sconce_engine::Progress;
use sconce_grammar::{CompiledGrammar, GrammarError};

use crate::stage::{compiler, refusal, schema};

fn regex(text: impl Into<String>) -> Grammar {
    Grammar::Regex(text.into())
}

fn lark(text: impl Into<String>) -> Grammar {
    Grammar::Lark(text.into())
}

#[test]
fn a_keyword_that_cannot_be_kept_is_named() {
    let cases = [
        (r#"{"type": "array", "uniqueItems": true}"#, "uniqueItems"),
        (r#"{"not": {"type": "string"}}"#, "not"),
        (r#"{"if": {"type": "string"}, "then": false}"#, "if"),
        (
            r#"{"type": "object", "x-guidance": {"lenient": true}, "not": {}}"#,
            "x-guidance",
        ),
        (r#"{"type": "string", "format": "colour"}"#, "colour"),
        (r#"{"unevaluatedProperties": false}"#, "cannot be kept"),
        (r#"{"$ref": "https://example.com/schema"}"#, "example.com"),
        (r#"{"type": "text"}"#, "text"),
        (r##"{"$ref": "#/$defs/nobody"}"##, "nobody"),
        (
            r#"{"oneOf": [{"type": "number"}, {"type": "integer"}]}"#,
            "use anyOf",
        ),
        (r##"{"$ref": "#"}"##, "nothing fits it"),
    ];
    for (text, name) in cases {
        let said = refusal(&schema(text)).to_string();
        assert!(said.contains(name), "{text}: {said}");
        assert!(!said.contains('\n'), "{text}: {said}");
    }
}

#[test]
fn what_is_not_written_right_is_refused() {
    let wrong = [
        schema("{"),
        schema("7"),
        schema("false"),
        schema(r#"{"type": "integer", "minimum": 5, "maximum": 4}"#),
        regex("(a"),
        regex("a{3,1}"),
        lark(""),
        lark("start: nobody"),
        lark("begin: \"a\""),
        lark("start: \"a"),
        Grammar::Choice(Vec::new()),
    ];
    for grammar in wrong {
        let said = refusal(&grammar).to_string();
        assert!(
            !said.is_empty() && !said.contains('\n'),
            "{grammar:?}: {said}"
        );
        assert!(!said.contains("panic"), "{grammar:?}: {said}");
    }
}

#[test]
fn brackets_in_brackets_are_refused_before_they_are_read() {
    let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    let is_too_deep = |grammar| matches!(refusal(&grammar), GrammarError::TooDeep { .. });
    assert!(is_too_deep(regex(deep.clone())));
    let deep = format!("start: {}a{}", "(".repeat(5000), ")".repeat(5000));
    assert!(is_too_deep(lark(deep)));
    let long = regex("a".repeat(1 << 20));
    assert!(matches!(refusal(&long), GrammarError::TooLong { .. }));
}

/// Terminals that are each made of the next.
fn chain(links: usize) -> String {
    let mut text = "start: A0\n".to_owned();
    for link in 0..links {
        writeln!(text, "A{link}: \"x\" A{} \"y\"", link + 1).unwrap();
    }
    writeln!(text, "A{links}: \"z\"").unwrap();
    text
}

/// Schemas that each refer to the next, through `wrap`.
fn references(links: usize, wrap: impl Fn(&str) -> String) -> String {
    let mut text = r#"{"$defs": {"#.to_owned();
    for link in 0..links {
        let next = format!(r##"{{"$ref": "#/$defs/d{}"}}"##, link + 1);
        write!(text, r#""d{link}": {}, "#, wrap(&next)).unwrap();
    }
    write!(
        text,
        r##""d{links}": {{"type": "null"}}}}, "$ref": "#/$defs/d0"}}"##
    )
    .unwrap();
    text
}

/// Everything that we know to be hard. Whether it is refused or compiled does not matter here.
fn hard() -> Vec<(&'static str, Grammar)> {
    let doubled =
        |next: &str| format!(r#"{{"anyOf": [{next}, {{"type": "array", "items": {next}}}]}}"#);
    let merged = |next: &str| format!(r#"{{"allOf": [{next}, {next}]}}"#);
    let plain = |next: &str| next.to_owned();
    let properties: Vec<String> = (0..3000)
        .map(|it| format!(r#""p{it}": {{"type": "string"}}"#))
        .collect();
    let optional = format!(
        r#"{{"type": "object", "properties": {{{}}}}}"#,
        properties.join(",")
    );
    let words: Vec<String> = (0..9000)
        .map(|it| format!("{:x}", it * 7919 % 9973))
        .collect();
    vec![
        ("nested repeats", regex("(((a{1,90}){1,90}){1,90}){1,90}b")),
        ("a long repeat", regex("(a|b)*a(a|b){4000}")),
        ("many states", regex("(a|b)*a(a|b){24}c")),
        ("a huge repeat", regex("[a-z]{1,1000000}")),
        ("intersection", lark("start: /.*a.{20}/ & /.*b.{19}/")),
        (
            "and in a terminal",
            lark("start: A\nA: /(a|b)*a(a|b){18}/ & /(a|b)*b(a|b){17}/ & ~/.*abab.*/"),
        ),
        ("ambiguity", lark("start: start start start | \"a\" | \"\"")),
        ("a chain of terminals", lark(chain(600))),
        ("a chain of rules", lark(chain(600).replace('A', "a"))),
        ("a chain of references", schema(&references(2000, plain))),
        ("references that double", schema(&references(200, doubled))),
        ("references that merge", schema(&references(40, merged))),
        ("many optional properties", schema(&optional)),
        ("many choices", Grammar::Choice(words)),
        (
            "a long string",
            schema(r#"{"type": "string", "minLength": 100000, "maxLength": 200000}"#),
        ),
        (
            "a long list",
            schema(
                r#"{"type": "array", "minItems": 50000, "items": {"type": "array", "minItems": 50000}}"#,
            ),
        ),
        (
            "many digits",
            schema(r#"{"type": "number", "multipleOf": 0.000001, "minimum": 0.1, "maximum": 1e9}"#),
        ),
    ]
}

/// The longest that a mask or a token takes in an answer that wanders through a grammar.
pub(crate) fn wander(compiled: &CompiledGrammar) -> (Duration, u32, Option<String>) {
    let (mut constraint, mut longest) = (compiled.begin(), Duration::ZERO);
    for step in 0_u32..60 {
        let begun = Instant::now();
        let mask = match constraint.mask() {
            Ok(mask) => mask,
            Err(failure) => return (longest.max(begun.elapsed()), step, Some(failure.fact)),
        };
        let tokens: Vec<TokenId> = (0..256)
            .map(TokenId)
            .filter(|it| mask.allows(*it))
            .collect();
        let Some(token) = tokens.get((step * 7919) as usize % tokens.len().max(1)) else {
            return (longest, step, None);
        };
        let accepted = constraint.accept(*token);
        longest = longest.max(begun.elapsed());
        match accepted {
            Ok(Progress::Open) => {}
            Ok(Progress::Complete) => return (longest, step, None),
            Err(failure) => return (longest, step, Some(failure.fact)),
        }
    }
    (longest, 60, None)
}

#[test]
fn whatever_is_hard_is_compiled_or_refused_soon_and_disturbs_no_step_for_long() {
    // The vocabulary's tree is made for the first grammar.
    compiler().compile(&Grammar::JsonObject).unwrap();
    for (name, grammar) in hard() {
        let begun = Instant::now();
        let compiled = compiler().compile(&grammar);
        let took = begun.elapsed();
        println!("{took:>12.1?}  {name}: {:?}", compiled.as_ref().err());
        // The pipeline waits no longer than a second; a machine that has other work does worse.
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
        if let Ok(compiled) = compiled {
            let (longest, tokens, end) = wander(&compiled);
            println!("{longest:>12.1?}  at most in {tokens} tokens; {end:?}");
            assert!(
                longest < Duration::from_millis(250),
                "{name} took {longest:?}"
            );
        }
    }
}

#[test]
fn a_row_that_is_too_wide_is_found_before_the_answer_begins() {
    let properties = (0..3000).map(|it| format!(r#""p{it}": {{"type": "null"}}"#));
    let properties = properties.collect::<Vec<_>>().join(",");
    let wide = format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#);
    let said = refusal(&schema(&wide)).to_string();
    assert!(said.contains("too much work"), "{said}");
}
