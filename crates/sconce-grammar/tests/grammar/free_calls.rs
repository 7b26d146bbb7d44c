//! Calls that a model may make or not: text is free, and what begins as a call keeps its form.

use sconce_domain::{CallForm, FreeCalls, FunctionForm, Grammar, TokenCount, TokenId, TokenMask};
use sconce_engine::Constraint;
use sconce_grammar::CompiledGrammar;
use sconce_text::{Listening, Reach, SpeechFormat, SpeechParser, Spoken, Thoughts};
use serde_json::Value;

use crate::stage::{END, MARK, MARK_TEXT, TOKENS, compiler, refusal, token};

const F: &str = r#"{"type": "object", "properties": {"a": {"type": "integer", "minimum": 0,
    "maximum": 99}, "b": {"enum": ["x", "yy"]}}, "required": ["a"], "additionalProperties": false}"#;
const G: &str = r#"{"type": "object", "properties": {}, "additionalProperties": false}"#;

/// Calls of `f` and `g` behind `trigger`.
fn form(trigger: &str) -> Grammar {
    let function = |name: &str, arguments: &str| FunctionForm {
        before: format!("\n{{\"name\": \"{name}\", \"arguments\": "),
        arguments: arguments.to_owned(),
        after: "}\n</tool_call>".to_owned(),
    };
    Grammar::FreeCalls(FreeCalls {
        trigger: trigger.to_owned(),
        form: CallForm {
            opening: String::new(),
            functions: vec![function("f", F), function("g", G)],
            between: String::new(),
            closing: String::new(),
            calls_max: 1,
        },
    })
}

fn compiled(trigger: &str) -> CompiledGrammar {
    compiler().compile(&form(trigger)).unwrap()
}

/// Takes `text` byte by byte, each of which must be allowed.
fn take(constraint: &mut dyn Constraint, text: &str) {
    for byte in text.bytes() {
        let token = TokenId(u32::from(byte));
        let mask = constraint.mask().unwrap();
        assert!(mask.allows(token), "{:?} of {text:?}", char::from(byte));
        constraint.accept(token).unwrap();
    }
}

fn count(mask: &TokenMask) -> u32 {
    mask.words().iter().map(|it| it.count_ones()).sum()
}

fn is_free(constraint: &mut dyn Constraint) -> bool {
    count(&constraint.mask().unwrap()) == TOKENS
}

/// The calls that whoever reads the answer hears in it.
fn heard(text: &str) -> Vec<(String, String)> {
    let functions = ["f", "g"].map(|name| sconce_domain::Tool {
        name: name.to_owned(),
        description: None,
        parameters: None,
        is_strict: true,
    });
    let listening = Listening {
        functions: functions.to_vec(),
        thoughts: Thoughts::None,
    };
    let mut parser = SpeechParser::new(SpeechFormat::named("tagged").unwrap(), listening);
    let mut told = parser.push(text);
    told.extend(parser.finish(Reach::Cut));
    let (mut calls, mut open): (Vec<_>, Option<(String, String)>) = (Vec::new(), None);
    for part in told {
        match part {
            Spoken::CallBegins { name } => open = Some((name, String::new())),
            Spoken::Arguments(piece) => open.as_mut().unwrap().1 += &piece,
            Spoken::CallEnds => calls.extend(open.take()),
            _ => {}
        }
    }
    calls
}

fn fits((name, arguments): &(String, String)) -> bool {
    let value: Value = serde_json::from_str(arguments).unwrap();
    let fields = value.as_object().unwrap();
    let is_known = |key: &String| ["a", "b"].contains(&key.as_str());
    match name.as_str() {
        "f" => {
            fields["a"].as_u64().is_some_and(|it| it < 100)
                && fields.get("b").is_none_or(|it| *it == "x" || *it == "yy")
                && fields.keys().all(is_known)
        }
        "g" => fields.is_empty(),
        _ => false,
    }
}

/// Numbers that look random and are the same each time.
pub(crate) fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

#[test]
fn every_call_of_a_random_answer_fits_its_schema() {
    const NUDGES: [&str; 6] = [
        "<tool_call>",
        "<tool_",
        "<tool_call\n>",
        "<<tool_call>",
        "hi ",
        "</tool_call>",
    ];
    let compiled = compiled("<tool_call>");
    let (mut calls, mut texts) = (0, 0);
    for seed in 0..300 {
        let mut roll = dice(seed);
        let mut constraint = compiled.begin();
        let (mut answer, mut nudge) = (Vec::new(), NUDGES[0].bytes());
        for _ in 0..250 {
            let mask = constraint.mask().unwrap();
            // What is neither a control token nor half a letter.
            let may = |it: &TokenId| *it != MARK && *it != END && !(0x80..0x100).contains(&it.0);
            let allowed: Vec<TokenId> = (0..TOKENS)
                .map(TokenId)
                .filter(|it| mask.allows(*it))
                .collect();
            let chosen: Vec<TokenId> = allowed.iter().copied().filter(may).collect();
            let next = nudge.next().map(|it| TokenId(u32::from(it)));
            let next = next.filter(|it| mask.allows(*it));
            if next.is_none() && roll(10) == 0 {
                nudge = NUDGES[roll(NUDGES.len())].bytes();
            }
            let token = next.unwrap_or_else(|| chosen[roll(chosen.len())]);
            constraint.accept(token).unwrap();
            answer.extend_from_slice(&crate::stage::bytes(token));
        }
        let answer = String::from_utf8(answer).unwrap();
        let found = heard(&answer);
        assert!(
            found.iter().all(fits),
            "seed {seed}: {found:?} in {answer:?}"
        );
        calls += found.len();
        texts += usize::from(found.is_empty());
    }
    assert!(calls > 200, "only {calls} calls came about");
    assert!(texts < 250, "{texts} answers have none");
}

#[test]
fn text_is_free_whatever_it_looks_like() {
    let compiled = compiled("<tool_call>");
    let texts = [
        "",
        "Hello",
        "<",
        "<tool",
        "<tool_calls",
        "<<tool_cal",
        "</tool_call>",
        "<tool_cal>l>",
        "<tool_call\n>",
        "{\"name\": \"f\", \"arguments\": {}}",
        "<tool_<tool_",
        "\u{e9}<\u{1F600}",
    ];
    for text in texts {
        let mut constraint = compiled.begin();
        take(constraint.as_mut(), text);
        assert!(is_free(constraint.as_mut()), "{text:?}");
        assert!(constraint.mask().unwrap().allows(END), "{text:?}");
    }
    // A token that ends the trigger and goes on as no call does is all that is not allowed.
    let mut constraint = compiled.begin();
    take(constraint.as_mut(), "so: <tool_call");
    let mask = constraint.mask().unwrap();
    assert_eq!(TOKENS - count(&mask), 1);
    assert!(!mask.allows(token(">x")) && mask.allows(token(">\n")) && mask.allows(END));
}

#[test]
fn a_call_that_has_begun_keeps_its_form_and_text_may_follow_it() {
    let compiled = compiled("<tool_call>");
    let mut constraint = compiled.begin();
    let call = "{\"name\": \"f\", \"arguments\": {\"a\": 7}}\n</tool_call>";
    for round in 0..3 {
        take(constraint.as_mut(), "Well <tool_call");
        assert_eq!(
            constraint.accept(token(">\n")),
            Ok(sconce_engine::Progress::Open)
        );
        let mask = constraint.mask().unwrap();
        assert_eq!(count(&mask), 2, "round {round}: {{ or {{\"");
        assert!(mask.allows(token("{\"")) && !mask.allows(END));
        take(constraint.as_mut(), &call[..call.len() - 1]);
        assert!(!constraint.mask().unwrap().allows(END));
        // A token may hold the end of a call and what follows.
        let end = [">", ">x", ">\n"][round];
        assert!(constraint.mask().unwrap().allows(token(end)), "{end:?}");
        constraint.accept(token(end)).unwrap();
        assert!(is_free(constraint.as_mut()), "round {round}");
    }
    take(constraint.as_mut(), "<tool_call>\n{\"name\": \"");
    let mask = constraint.mask().unwrap();
    assert!(!mask.allows(TokenId(u32::from(b'h'))) && mask.allows(TokenId(u32::from(b'g'))));
    assert!(constraint.accept(TokenId(u32::from(b'h'))).is_err());
}

#[test]
fn a_trigger_that_is_a_control_token_is_asked_for_as_one() {
    let compiled = compiled(MARK_TEXT);
    for before in ["", "Well ", "<|ca"] {
        let mut constraint = compiled.begin();
        take(constraint.as_mut(), before);
        assert!(is_free(constraint.as_mut()));
        constraint.accept(MARK).unwrap();
        assert!(!constraint.mask().unwrap().allows(END));
        take(
            constraint.as_mut(),
            "\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
        );
        assert!(is_free(constraint.as_mut()));
    }
    // Spelt in letters it is the same to whoever reads the answer.
    let mut constraint = compiled.begin();
    take(constraint.as_mut(), MARK_TEXT);
    assert!(!constraint.mask().unwrap().allows(END));
}

#[test]
fn an_answer_is_taken_back_into_calls_and_out_of_them() {
    let compiled = compiled("<tool_call>");
    let text =
        "Hi <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call> <tool_call>\n{";
    let (mut masks, mut constraint) = (Vec::new(), compiled.begin());
    for byte in text.bytes() {
        masks.push(constraint.mask().unwrap());
        constraint.accept(TokenId(u32::from(byte))).unwrap();
    }
    for to in (0..text.len()).rev().step_by(3).chain([0]) {
        constraint.rewind(TokenCount(u32::try_from(to).unwrap()));
        assert_eq!(constraint.mask().unwrap(), masks[to], "{to}");
        take(constraint.as_mut(), &text[to..]);
    }
}

#[test]
fn a_schema_of_a_call_that_cannot_be_kept_is_refused() {
    let Grammar::FreeCalls(mut free) = form("<tool_call>") else {
        return;
    };
    free.form.functions[0].arguments = r#"{"type": "array", "uniqueItems": true}"#.to_owned();
    let said = refusal(&Grammar::FreeCalls(free)).to_string();
    assert!(said.contains("uniqueItems"), "{said}");
}
