//! Grammars that nobody writes by accident. None ends the process, and none holds up a step.

use std::time::{Duration, Instant};

use sconce_domain::Grammar;

use crate::refusals::wander;
use crate::stage::{compiler, schema};

fn regex(text: impl Into<String>) -> Grammar {
    Grammar::Regex(text.into())
}

fn lark(text: impl Into<String>) -> Grammar {
    Grammar::Lark(text.into())
}

/// Terminals that each hold the one before twice.
fn doubling(links: usize) -> String {
    let link = |it: usize| format!("A{}: A{it} A{it}\n", it + 1);
    let all: String = (0..links).map(link).collect();
    format!("start: A{links}\nA0: /.*/\n{all}")
}

/// `inner` in so many layers of `open` and `close`.
fn nested(open: &str, inner: &str, close: &str, layers: usize) -> String {
    [&open.repeat(layers), inner, &close.repeat(layers)].concat()
}

/// Compiles, and lets an answer wander. A refusal is as good as a grammar, but it says why in words.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a reader wants to see"
)]
fn endure(name: &str, grammar: &Grammar) {
    let begun = Instant::now();
    let compiled = compiler().compile(grammar);
    let took = begun.elapsed();
    match compiled {
        Ok(compiled) => {
            let (longest, tokens, end) = wander(&compiled);
            println!("{took:>12.1?}  {name}: {longest:.1?} at most in {tokens} tokens; {end:?}");
            assert!(longest < Duration::from_millis(500), "{name}: {longest:?}");
        }
        Err(error) => {
            let said = error.to_string();
            println!("{took:>12.1?}  {name}: {said}");
            assert!(said.len() < 1000 && !said.contains('\n'), "{name}: {said}");
        }
    }
    assert!(took < Duration::from_secs(10), "{name}: {took:?}");
}

#[test]
fn schemas_that_go_round_in_circles_or_deep_are_endured() {
    let rounds = [
        r##"{"$ref": "#"}"##,
        r##"{"allOf": [{"$ref": "#"}]}"##,
        r##"{"anyOf": [{"$ref": "#"}, {"type": "null"}]}"##,
        r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##,
        r##"{"type": "array", "minItems": 1, "items": {"$ref": "#"}}"##,
        r##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
        r##"{"$ref": "#/$ref"}"##,
        r##"{"$ref": "#/%zz/~5"}"##,
        r##"{"$id": "::", "$ref": "x:y#z"}"##,
        r##"{"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}"##,
    ];
    for text in rounds {
        endure(text, &schema(text));
    }
    for layers in [100, 126, 10_000] {
        let deep = [
            nested(r#"{"items": "#, "{}", "}", layers),
            nested(r#"{"anyOf": ["#, "{}", "]}", layers / 2),
            nested(r#"{"allOf": ["#, "{}", "]}", layers / 2),
            nested(r#"{"properties": {"a": "#, "{}", "}}", layers / 2),
            format!(r#"{{"const": {}}}"#, nested("[", "1", "]", layers)),
        ];
        for text in deep {
            endure(&format!("{} … {layers}", &text[..14]), &schema(&text));
        }
    }
}

#[test]
fn schemas_with_extreme_numbers_and_odd_texts_are_endured() {
    let odd = [
        r#"{"type": "string", "minLength": 18446744073709551615}"#,
        r#"{"type": "string", "maxLength": -1}"#,
        r#"{"type": "string", "minLength": 1.5}"#,
        r#"{"type": "string", "maxLength": 1e99}"#,
        r#"{"type": "array", "minItems": 4294967296}"#,
        r#"{"type": "array", "maxItems": 9223372036854775808}"#,
        r#"{"type": "object", "minProperties": 1000000}"#,
        r#"{"type": "integer", "minimum": -1e308, "maximum": 1e308}"#,
        r#"{"type": "integer", "exclusiveMinimum": 9223372036854775807}"#,
        r#"{"type": "number", "multipleOf": 1e-300}"#,
        r#"{"type": "number", "multipleOf": 0}"#,
        r#"{"type": "integer", "multipleOf": 99999999999999999}"#,
        r#"{"type": "number", "minimum": 1e-320, "maximum": 1e-310}"#,
        r#"{"type": "string", "pattern": "(a*)*b"}"#,
        r#"{"type": "string", "pattern": "(?=a)b\\1"}"#,
        r#"{"type": "string", "pattern": "^(\\p{L}{1,500} ?){1,500}$"}"#,
        r#"{"type": "object", "patternProperties": {"": {}, ".*": {}, "^a": {"type": "null"}}}"#,
        r#"{"type": "object", "properties": {"": {}, "\u0000": {}, "\ud83c\udf4e": {}}}"#,
        r#"{"type": "object", "required": ["a", "a", "b"], "properties": {"a": {}}}"#,
        r#"{"type": [], "enum": []}"#,
        r#"{"enum": [1, 1.0, "1", null, [1], {"a": 1}]}"#,
        r#"{"format": "regex"}"#,
        r#"{"type": "string", "format": "date-time", "maxLength": 3}"#,
        r#"[]"#,
        r#"null"#,
    ];
    for text in odd {
        endure(text, &schema(text));
    }
}

#[test]
fn regular_expressions_without_an_end_are_endured() {
    let many = |part: &str, count: usize| part.repeat(count);
    let cases = [
        (
            "a pattern of dots",
            schema(&format!(r#"{{"pattern": "{}"}}"#, many(".*", 20_000))),
        ),
        ("question marks", regex(format!("a{}", many("?", 200_000)))),
        ("alternatives", regex(many("ab|", 60_000))),
        ("a literal", regex(many("a", 250_000))),
        ("dots", regex(many(".*", 50_000))),
        ("classes", regex(many(r"\p{L}", 5_000))),
        ("repeats of repeats", regex("(a{1,65535}){1,65535}")),
        ("a count that is too large", regex("a{99999999999}")),
        ("flags", regex("(?i)(?x) a b (?-x)[[:alpha:]&&[^a]]")),
        ("nothing", regex("")),
        ("a nul", regex("\0\u{10ffff}")),
    ];
    for (name, grammar) in cases {
        endure(name, &grammar);
    }
}

#[test]
fn lark_without_an_end_is_endured() {
    let many = |part: &str, count: usize| part.repeat(count);
    let cases = [
        ("terminals that double", lark(doubling(10))),
        ("terminals that double more", lark(doubling(30))),
        (
            "tildes",
            lark(format!("start: A\nA: {}/a/", many("~", 15_000))),
        ),
        (
            "tildes apart",
            lark(format!("start: A\nA: {}/a/", many("~ ", 8_000))),
        ),
        (
            "ands",
            lark(format!("start: A\nA: /a/{}", many(" & /a/", 2_500))),
        ),
        (
            "a long row",
            lark(format!("start: {}", many("\"a\" ", 4_000))),
        ),
        (
            "a long choice",
            lark(format!("start: \"a\"{}", many(" | \"a\"", 2_500))),
        ),
        ("stars", lark(format!("start: \"a\"{}", many("*", 15_000)))),
        ("itself", lark("start: start")),
        (
            "itself and more",
            lark("start: start \"a\" | \"a\" start | start start | \"\""),
        ),
        ("an import", lark("%import common.NUMBER\nstart: NUMBER")),
        ("a file", lark("%import .secret (x)\nstart: x")),
        (
            "json in it",
            lark("start: %json {\"type\": \"array\", \"uniqueItems\": true}"),
        ),
        ("a great count", lark("start: \"a\"~1..1000000000")),
        (
            "special tokens",
            lark("start: <[256]> <|im_end|> <[0-99999999]>"),
        ),
        ("an open text", lark("start: \"\\")),
        (
            "limits of its own",
            lark("start[max_tokens=99999999999]: /.*/"),
        ),
        ("the empty text", lark("start: \"\"")),
        ("empty choices", Grammar::Choice(vec![String::new(); 3])),
    ];
    for (name, grammar) in cases {
        endure(name, &grammar);
    }
}

#[test]
fn gbnf_without_an_end_is_endured() {
    let many = |part: &str, count: usize| part.repeat(count);
    let doubling: String = (0..30)
        .map(|it| format!("x{it} ::= x{0} x{0}\n", it + 1))
        .collect();
    let chain: String = (0..800)
        .map(|it| format!("x{it} ::= x{}\n", it + 1))
        .collect();
    let alike: String = (0..300)
        .map(|it| format!(" | \"a\"{{{it}}} root"))
        .collect();
    let cases = [
        (
            "rules that double",
            format!("root ::= x0\n{doubling}x30 ::= \"a\""),
        ),
        (
            "rules that double and return",
            format!("root ::= x0 root | \"\"\n{doubling}x30 ::= \"a\"*"),
        ),
        (
            "a chain of rules",
            format!("root ::= x0\n{chain}x800 ::= \"a\""),
        ),
        (
            "a chain that returns",
            format!("root ::= x0\n{chain}x800 ::= \"a\" root?"),
        ),
        ("rules that begin alike", format!("root ::= \"b\"{alike}")),
        (
            "a long literal that returns",
            format!("root ::= \"{}\" root | [a-z]", many("a", 15_000)),
        ),
        ("a long row", format!("root ::= {}", many("\"a\"? ", 3_000))),
        (
            "a long row that returns",
            format!("root ::= \"b\" | {} root", many("\"a\"? ", 3_000)),
        ),
        (
            "a long choice that returns",
            format!("root ::= \"b\" | ({} \"\") root", many("[a-c] | ", 2_000)),
        ),
        (
            "repeats of repeats",
            "root ::= (((\"a\"{1,2000}){1,2000}){1,2000}){1,2000}".to_owned(),
        ),
        (
            "repeats that return",
            "root ::= (((\"a\" root?){1,2000}){1,2000}){1,2000}".to_owned(),
        ),
        ("stars", format!("root ::= \"a\"{}", many("*", 15_000))),
        ("itself", "root ::= root root root | \"a\"".to_owned()),
        ("an open group", many("root ::= (", 1_500)),
    ];
    for (name, text) in cases {
        endure(name, &Grammar::Gbnf(text));
    }
}

#[test]
fn changed_grammars_are_endured() {
    let texts = [
        r##"{"$defs":{"a":{"type":["string","null"],"pattern":"^[a-z]{2,5}$"}},"type":"object","properties":{"x":{"$ref":"#/$defs/a"},"y":{"type":"number","minimum":-1.5,"multipleOf":0.5}},"required":["x"],"additionalProperties":{"anyOf":[{"const":1},{"enum":["a",[]]}]}}"##,
        "start: item (\",\" item)* | /[0-9]{2,4}(\\.[0-9]+)?/\nitem: WORD \"=\" (WORD | \"(\" start \")\")~1..3\nWORD: /[a-z]+/ & ~/x.*/\n%ignore / +/\n",
        r"([A-Z]{2}-\d{3,}|(?i:n/?a))(\s[^\x00-\x1f\p{L}]*?)+",
    ];
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..600 {
        let mut text: Vec<char> = texts[round % 3].chars().collect();
        for _ in 0..=random(4) {
            let (place, other) = (random(text.len()), random(text.len()));
            match random(3) {
                0 => text[place] = text[other],
                1 => drop(text.remove(place)),
                _ => text.insert(place, text[other]),
            }
        }
        let text: String = text.into_iter().collect();
        let grammar = [schema(&text), lark(&*text), regex(&*text)][round % 3].clone();
        if let Ok(compiled) = compiler().compile(&grammar) {
            let (longest, ..) = wander(&compiled);
            assert!(
                longest < Duration::from_millis(500),
                "{longest:?} in {text}"
            );
        }
    }
}
