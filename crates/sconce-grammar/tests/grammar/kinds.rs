//! Each kind of grammar takes what it should and nothing else.

use sconce_domain::{CallForm, FunctionForm, Grammar};

use crate::stage::{Fate, fate, schema};

pub(crate) fn check(grammar: &Grammar, taken: &[&str], not: &[&str]) {
    for answer in taken {
        assert_eq!(fate(grammar, answer), Fate::Taken, "{grammar:?}: {answer}");
    }
    for answer in not {
        assert_ne!(fate(grammar, answer), Fate::Taken, "{grammar:?}: {answer}");
    }
}

#[test]
fn a_json_object_is_any_object_and_nothing_else() {
    check(
        &Grammar::JsonObject,
        &[
            "{}",
            r#"{"a": [1, 2.5e3, null], "b": {"c": "é\n"}}"#,
            "{\n  \"a\": true\n}",
        ],
        &[
            "[]",
            "1",
            "{",
            r#"{"a"}"#,
            "{'a': 1}",
            "```json\n{}\n```",
            "{} and more",
        ],
    );
}

#[test]
fn a_schema_holds_names_types_order_and_what_is_required() {
    let person = r#"{
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "mood": {"enum": ["good", "bad"]}
        },
        "required": ["name", "age"],
        "additionalProperties": false
    }"#;
    check(
        &schema(person),
        &[
            r#"{"name": "Ada", "age": 36}"#,
            r#"{"name":"","age":0,"mood":"bad"}"#,
        ],
        &[
            r#"{"name": "Ada"}"#,
            r#"{"name": "Ada", "age": 151}"#,
            r#"{"name": "Ada", "age": "36"}"#,
            r#"{"name": "Ada", "age": 36, "x": 1}"#,
            r#"{"name": "Augusta Ada", "age": 36}"#,
            r#"{"name": "Ada", "age": 36, "mood": "fine"}"#,
        ],
    );
}

#[test]
fn references_may_be_recursive() {
    let tree = r##"{
        "$defs": {"node": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "additionalProperties": false
        }},
        "$ref": "#/$defs/node"
    }"##;
    check(
        &schema(tree),
        &["{}", r#"{"children": [{}, {"children": []}]}"#],
        &[r#"{"children": [1]}"#, r#"{"child": []}"#],
    );
}

#[test]
fn space_between_the_tokens_of_json_does_not_go_on_for_ever() {
    check(
        &Grammar::JsonObject,
        &[
            "{ }",
            "{\n}",
            "{\r\n\t\"a\":  1,\n                \"b\" : []}",
        ],
        &[
            "{   }",
            "{\n\n}",
            "{ \n}",
            &format!("{{\n{}}}", " ".repeat(33)),
        ],
    );
}

#[test]
fn a_regular_expression_matches_as_a_whole() {
    let date = Grammar::Regex(r"\d{4}-\d{2}-\d{2}(/\d)?".to_owned());
    check(
        &date,
        &["2024-07-26", "2024-07-26/1"],
        &["2024-7-26", "on 2024-07-26", "2024-07-26 "],
    );
}

#[test]
fn a_choice_is_one_of_its_texts_whatever_they_hold() {
    let texts = ["yes", "no", "yes \"indeed\"", "a|b", "\u{e9}\n", "/x/"];
    let choice = Grammar::Choice(texts.iter().map(|it| (*it).to_owned()).collect());
    check(&choice, &texts, &["maybe", "ye", "a", "yes no", ""]);
}

#[test]
fn a_lark_grammar_follows_its_rules() {
    let sum = "start: NUMBER (\"+\" NUMBER)*\nNUMBER: /[0-9]+/\n";
    let sum = Grammar::Lark(sum.to_owned());
    check(&sum, &["1", "12+3+4"], &["+", "1+", "1-2", "a"]);
}

#[test]
fn calls_are_written_as_their_form_says_each_held_to_its_own_schema() {
    let function = |name: &str, arguments: &str| FunctionForm {
        before: format!("<c>\n{{\"name\": \"{name}\", \"arguments\": "),
        arguments: arguments.to_owned(),
        after: "}\n</c>".to_owned(),
    };
    let one = r##"{"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/$defs/it"}}, "$defs": {"it": {"enum": [1]}}}"##;
    let other = r##"{"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/$defs/it"}}, "$defs": {"it": {"enum": [2]}}}"##;
    let call = |name: &str, a: u8| {
        format!("<c>\n{{\"name\": \"{name}\", \"arguments\": {{\"a\": {a}}}}}\n</c>")
    };
    let mut form = CallForm {
        opening: "\"[".to_owned(),
        functions: vec![function("f", one), function("g", other)],
        between: ", ".to_owned(),
        closing: "]".to_owned(),
        calls_max: 3,
    };
    let (f, g) = (call("f", 1), call("g", 2));
    let taken = [
        format!("\"[{f}]"),
        format!("\"[{g}, {f}]"),
        format!("\"[{f}, {f}, {g}]"),
    ];
    let not = [
        format!("\"[{}]", call("f", 2)),
        format!("\"[{}]", call("h", 1)),
        "\"[]".to_owned(),
        format!("\"[{f}, {f}, {f}, {f}]"),
        f.clone(),
    ];
    let (taken, not) = (taken.each_ref(), not.each_ref());
    let (taken, not) = (taken.map(String::as_str), not.map(String::as_str));
    check(&Grammar::Calls(form.clone()), &taken, &not);
    form.calls_max = 1;
    form.opening.clear();
    form.closing.clear();
    check(
        &Grammar::Calls(form),
        &[&f, &g],
        &[&format!("{f}, {f}"), ""],
    );
}
