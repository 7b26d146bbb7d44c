//! Templates that mean harm end with an error, soon, and without taking the process along.

use std::time::{Duration, Instant};

use sconce_domain::{Message, Role};
use sconce_text::{ChatTemplate, CivilTime, Guard, RenderOptions, TextError};

fn render(source: &str) -> Result<String, TextError> {
    let started = Instant::now();
    let message = Message::text(Role::User, "Hi");
    let now = CivilTime::from_unix_seconds(0);
    let options = RenderOptions {
        adds_generation_prompt: true,
        now,
    };
    let rendered = ChatTemplate::new(source, "<s>", "</s>")
        .and_then(|template| template.render(&[message], &[], &Guard::none(), &options))
        .map(|it| it.text().into_owned());
    let elapsed = started.elapsed();
    assert!(
        elapsed < Duration::from_secs(20),
        "{source:.80} took {elapsed:?}"
    );
    rendered
}

#[track_caller]
fn fails(source: &str) -> TextError {
    match render(source) {
        Ok(text) => panic!("{source:.80} gave {} bytes", text.len()),
        Err(error) => error,
    }
}

#[track_caller]
fn runs_out_of_fuel(source: &str) {
    let error = fails(source);
    assert!(
        matches!(error, TextError::TemplateOutOfFuel { .. }),
        "{source:.80}: {error}"
    );
}

#[test]
fn a_loop_that_is_too_long_is_stopped() {
    runs_out_of_fuel(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    );
    runs_out_of_fuel(
        "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}\
         {{ m(60) }}",
    );
}

#[test]
fn a_huge_range_is_refused() {
    fails("{% for i in range(1000000000000) %}x{% endfor %}");
}

#[test]
fn recursion_without_end_is_refused() {
    fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    fails("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}");
    fails("{% include 'chat_template' %}");
    fails("{% extends 'chat_template' %}");
}

#[test]
fn text_that_grows_without_end_is_stopped() {
    runs_out_of_fuel(
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}\
         {% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    );
    fails("{{ 'x' * 10000000000 }}");
    fails("{{ 'x' * 90000000 }}");
    fails("{% set x = 'x' * 1000000 %}{{ x.replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}");
    fails("{{ '%1000000000d' | format(1) }}");
    fails("{{ [messages] * 100000000 | tojson }}");
}

#[test]
fn output_beyond_the_limit_is_refused() {
    let error = fails("{% for i in range(30) %}{{ 'x' * 100000 }}{% endfor %}");
    assert!(
        matches!(error, TextError::TemplateOutputTooLong { .. }),
        "{error}"
    );
}

#[test]
fn a_value_nested_too_deep_is_refused() {
    for wrapped in ["[ns.x]", "{'a': ns.x}", "ns.x + [1]", "[1] + [ns.x]"] {
        let deep = format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(99999) if i < depth %}}\
             {{% set ns.x = {wrapped} %}}{{% endfor %}}"
        );
        for (depth, end) in [
            (99_999, ""),
            (40_000, ""),
            (20_000, "{{ ns.x }}"),
            (
                20_000,
                "{{ ns.x == [ns.x] }}{{ ns.x in [ns.x] }}{{ [ns.x, ns.x] | sort }}",
            ),
            (
                20_000,
                "{{ {ns.x: 1} }}{{ ns.x | string | length }}{{ [ns.x, ns.x] | unique }}",
            ),
            (20_000, "{{ ns.x | tojson }}"),
            (
                20_000,
                "{{ ns | string }}{{ ns.x | list }}{{ ns.x ~ ns.x }}{{ ns.x | items }}",
            ),
        ] {
            let _ended_either_way = render(&format!("{{% set depth = {depth} %}}{deep}{end}"));
        }
    }
    let deep = "{% set ns = namespace(x=[]) %}{% for i in range(200) %}\
                {% set ns.x = [ns.x] %}{% endfor %}";
    let error = fails(&format!("{deep}{{{{ ns.x | tojson }}}}")).to_string();
    assert!(error.contains("deeper than 128"), "{error}");
}

#[test]
fn a_source_nested_too_deep_is_refused() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("not ", "1", ""),
        ("-", "1", ""),
        ("a+", "1", ""),
        ("a and ", "1", ""),
        ("1**", "1", ""),
        ("1 if a else ", "1", ""),
        ("", "1", ".a"),
        ("", "a", "[0]"),
        ("", "a", "[:]"),
        ("", "a", "()"),
        ("", "1", "|e"),
        ("", "1", " is b"),
    ] {
        let count = 20_000 / (open.len() + close.len());
        let source = format!(
            "{{{{ {}{middle}{} }}}}",
            open.repeat(count),
            close.repeat(count)
        );
        let _ended_either_way = render(&source);
    }
    let alternatives = "{%elif a%}".repeat(6_000);
    let _ended_either_way = render(&format!("{{% if a %}}{alternatives}{{% endif %}}"));
    let blocks = format!(
        "{}x{}",
        "{%if 1%}".repeat(14_000),
        "{%endif%}".repeat(14_000)
    );
    fails(&blocks);
    let error = fails(&"x".repeat(70_000)).to_string();
    assert!(error.contains("70000 bytes exceed 65536"), "{error}");
}

#[test]
fn broken_templates_are_refused_with_the_line() {
    let error = fails("a\n{% if %}").to_string();
    assert!(error.contains("line 2"), "{error}");
    let error = fails("a\n{{ nothing.at.all }}").to_string();
    assert!(error.contains("line 2"), "{error}");
    for source in [
        "{%",
        "{{",
        "{#",
        "{% generation",
        "{% generation %}",
        "{% raw %}",
        "%}",
    ] {
        let _ended_either_way = render(source);
    }
}

#[test]
fn a_refusal_of_the_template_is_told_in_its_words() {
    let error = fails("{{ raise_exception('only one system message') }}");
    assert_eq!(
        error,
        TextError::TemplateRefused {
            reason: "only one system message".to_owned()
        }
    );
}

#[test]
fn generation_tags_write_nothing_and_keep_the_white_space_rules() {
    let rendered = render("a {%- generation -%} b {% endgeneration %}\nc").expect("it renders");
    assert_eq!(rendered, "ab c");
}

#[test]
fn json_is_written_as_python_writes_it() {
    let value = "{'b': [1, 2.5, true, none], 'a': 'é\"<&>\\n', 3: {}}";
    let cases = [
        (
            "",
            r#"{"b": [1, 2.5, true, null], "a": "é\"<&>\n", "3": {}}"#,
        ),
        (
            "(ensure_ascii=True)",
            r#"{"b": [1, 2.5, true, null], "a": "\u00e9\"<&>\n", "3": {}}"#,
        ),
        (
            "(separators=(',', ':'))",
            r#"{"b":[1,2.5,true,null],"a":"é\"<&>\n","3":{}}"#,
        ),
        (
            "(indent=2, sort_keys=true)",
            "{\n  \"3\": {},\n  \"a\": \"é\\\"<&>\\n\",\n  \"b\": [\n    1,\n    2.5,\n    true,\n    null\n  ]\n}",
        ),
    ];
    for (keywords, expected) in cases {
        let rendered =
            render(&format!("{{{{ {value} | tojson{keywords} }}}}")).expect("it renders");
        assert_eq!(rendered, expected);
    }
    fails("{{ nothing | tojson }}");
    fails("{{ 1 | tojson(wrong=1) }}");
}

#[test]
fn the_clock_is_the_one_that_was_given() {
    assert_eq!(
        render("{{ strftime_now('%Y-%m-%d') }}").expect("it renders"),
        "1970-01-01"
    );
}

#[test]
fn a_long_chat_is_within_the_limits() {
    let template = ChatTemplate::new(
        "{% for message in messages %}{{ '<' + message.role + '>' }}\
         {{ message.content | trim }}{% if message.role == 'user' %}{{ '\\n' }}{% endif %}\
         {% endfor %}",
        "",
        "",
    )
    .expect("it compiles");
    let now = CivilTime::from_unix_seconds(0);
    let options = RenderOptions {
        adds_generation_prompt: true,
        now,
    };
    for (count, bytes) in [(3_000, 100), (1, 8 << 20), (20, 1 << 18)] {
        let message = Message::text(Role::User, "x".repeat(bytes));
        let rendered = template
            .render(&vec![message; count], &[], &Guard::none(), &options)
            .expect("it renders");
        assert_eq!(rendered.text().len(), count * (bytes + "<user>\n".len()));
    }
}
