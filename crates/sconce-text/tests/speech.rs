//! What models say is told apart from what they think and call, however it is cut into pieces.

use proptest::prelude::*;
use sconce_domain::{Tool, ToolChoice, ToolUse};
use sconce_text::{Listening, Reach, SpeechFormat, SpeechParser, Spoken, Thoughts};
use serde_json::Value;

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: None,
        parameters: None,
        is_strict: false,
    }
}

fn parser(format: &str, thoughts: Thoughts) -> SpeechParser {
    let functions = ["f", "weather"].map(tool).to_vec();
    let format = SpeechFormat::named(format).expect("a format of this name");
    SpeechParser::new(
        format,
        Listening {
            functions,
            thoughts,
        },
    )
}

/// All parts, with those of a kind that follow each other joined.
fn hear(mut parser: SpeechParser, pieces: &[&str]) -> Vec<Spoken> {
    let mut parts: Vec<Spoken> = Vec::new();
    let told = pieces.iter().flat_map(|it| parser.push(it));
    let told: Vec<Spoken> = told.collect();
    for part in told.into_iter().chain(parser.finish(Reach::Whole)) {
        match (parts.last_mut(), part) {
            (Some(Spoken::Content(before)), Spoken::Content(text))
            | (Some(Spoken::Thought(before)), Spoken::Thought(text))
            | (Some(Spoken::Arguments(before)), Spoken::Arguments(text)) => before.push_str(&text),
            (_, part) => parts.push(part),
        }
    }
    parts
}

fn told(format: &str, text: &str) -> Vec<String> {
    tell(&hear(parser(format, Thoughts::Marked), &[text]))
}

/// Each part in a line; of a call, if it is one.
fn tell(parts: &[Spoken]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut call = String::new();
    for part in parts {
        match part {
            Spoken::Content(text) => match lines.last_mut() {
                Some(line) if line.starts_with("says ") => line.push_str(text),
                _ => lines.push(format!("says {text}")),
            },
            Spoken::Thought(text) => match lines.last_mut() {
                Some(line) if line.starts_with("thinks ") => line.push_str(text),
                _ => lines.push(format!("thinks {text}")),
            },
            Spoken::CallBegins { name } => call = format!("calls {name} "),
            Spoken::Arguments(text) => call.push_str(text),
            Spoken::CallEnds => lines.push(std::mem::take(&mut call)),
            Spoken::CallBreaks => call.clear(),
        }
    }
    lines
}

const CALL: &str = r#"{"name": "f", "arguments": {"a": [1, "}</tool_call>"]}}"#;

#[test]
fn tagged_calls_stand_between_markers() {
    let call = r#"calls f {"a": [1, "}</tool_call>"]}"#;
    let cases = [
        (format!("<tool_call>\n{CALL}\n</tool_call>"), vec![call]),
        (format!("<tool_call>{CALL}"), vec![call]),
        (
            format!("Well.\n\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call> Done."),
            vec!["says Well.", call, call, "says Done."],
        ),
        (
            format!("<think>\nHm. <tool_call>\n</think>\n\n<tool_call>{CALL}</tool_call>"),
            vec!["thinks Hm. <tool_call>", call],
        ),
        (
            r#"<tool_call>{"arguments": "{\"b\": 2}", "id": 1, "name": "g"}</tool_call>"#
                .to_owned(),
            vec![r#"calls g {"b": 2}"#],
        ),
        (
            r#"<tool_call>{"name": "f"}</tool_call>"#.to_owned(),
            vec!["calls f {}"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(told("tagged", &text), expected, "{text}");
    }
}

#[test]
fn bare_calls_are_json_where_an_answer_begins() {
    let call = r#"{"name": "f", "parameters": {"a": 1}}"#;
    for (text, expected) in [
        (call.to_owned(), vec![r#"calls f {"a": 1}"#]),
        (format!("\n{call}; {call}"), vec![r#"calls f {"a": 1}"#; 2]),
        (format!("So: {call}"), vec![&*format!("says So: {call}")]),
        (
            r#"{"name": "Ada", "parameters": {}}"#.to_owned(),
            vec![r#"says {"name": "Ada", "parameters": {}}"#],
        ),
        (
            r#"{"a": 1} is JSON"#.to_owned(),
            vec![r#"says {"a": 1} is JSON"#],
        ),
    ] {
        assert_eq!(told("bare", &text), expected, "{text}");
    }
}

#[test]
fn listed_calls_are_a_list_behind_a_marker() {
    let call = r#"{"name": "f", "arguments": {"a": 1}}"#;
    for (text, expected) in [
        (format!("[TOOL_CALLS][{call}]"), vec![r#"calls f {"a": 1}"#]),
        (
            format!("Look. [TOOL_CALLS] [{call}, {call}]"),
            vec!["says Look.", r#"calls f {"a": 1}"#, r#"calls f {"a": 1}"#],
        ),
        (
            "[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]123[ARGS]{}".to_owned(),
            vec![r#"calls f {"a": 1}"#, "calls g {}"],
        ),
        (
            "[TOOL_CALLS] no call".to_owned(),
            vec!["says [TOOL_CALLS] no call"],
        ),
        ("[TOOL_CALLS][]".to_owned(), Vec::new()),
    ] {
        assert_eq!(told("listed", &text), expected, "{text}");
    }
}

#[test]
fn what_begins_like_a_call_and_is_none_is_said() {
    for text in [
        "<tool_call>nothing</tool_call>",
        "a <tool_call>\n{\"name\": \"f\", \"arguments\": {",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{'name': 'f'}</tool_call>",
        "<tool_call>}{</tool_call>",
        "a  <tool_cal",
        " \n",
    ] {
        assert_eq!(told("tagged", text), [format!("says {text}")], "{text}");
    }
}

#[test]
fn a_prompt_that_ends_in_thoughts_is_answered_with_thoughts() {
    let parts = hear(
        parser("tagged", Thoughts::Begun),
        &["\nHm.\n</think>\n\nYes."],
    );
    let expected = [
        Spoken::Thought("Hm.".to_owned()),
        Spoken::Content("Yes.".to_owned()),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn text_goes_out_as_soon_as_it_is_no_marker() {
    let mut parser = parser("tagged", Thoughts::Marked);
    let says = |text: &str| vec![Spoken::Content(text.to_owned())];
    assert_eq!(parser.push("<"), []);
    assert_eq!(parser.push("b> and <tool"), says("<b> and"));
    assert_eq!(parser.push("s>"), says(" <tools>"));
}

#[test]
fn what_a_form_asks_for_is_what_its_parser_hears() {
    let tools = ["f", "weather"].map(tool);
    for name in SpeechFormat::names() {
        let format = SpeechFormat::named(name).expect("a listed format");
        let wanted = ToolUse {
            tools: tools.to_vec(),
            choice: ToolChoice::Required,
            parallel: true,
        };
        let form = format.form_of(&wanted).expect("a call is required");
        let calls: Vec<String> = form
            .functions
            .iter()
            .map(|it| format!("{}{{\"a\": 1}}{}", it.before, it.after))
            .collect();
        let text = format!(
            "{}{}{}",
            form.opening,
            calls.join(&form.between),
            form.closing
        );
        let expected = ["f", "weather"].map(|it| format!("calls {it} {{\"a\": 1}}"));
        let count = calls.len().min(form.calls_max as usize);
        assert_eq!(
            told(name, &text)[..count],
            expected[..count],
            "{name}: {text}"
        );
    }
}

#[test]
fn a_format_is_read_off_a_template_taught_or_unknown() {
    let name_of = |source: &str| SpeechFormat::of_template(source).map(|it| it.name);
    assert_eq!(name_of("{{ messages }}"), Some("tagged"));
    assert_eq!(name_of("{{ tools }} [TOOL_CALLS][{}]"), Some("listed"));
    assert_eq!(name_of("{{ tools }} [TOOL_CALLS]f[ARGS]{}"), Some("named"));
    assert_eq!(name_of("{{ tools }} <tool_call><function=f>"), None);
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![mark(), text(),]
}

/// Marks of many formats, and parts of calls, one a line.
const MARKS: &str = r#"<think>
</think>
[THINK]
[/THINK]
<tool_call>
</tool_call>
[TOOL_CALLS]
[ARGS]
f[ARGS]{}
[CALL_ID]
<|python_tag|>
<|python_start|>
[f(a='x'), 
weather(b=[1, {'c': None}])]
<function=f>
<parameter=a>
</parameter>
</function>
<arg_key>a</arg_key>
<arg_value>
</arg_value>
f
<｜tool▁calls▁begin｜>
<｜tool▁call▁begin｜>
function<｜tool▁sep｜>f
```json
f<｜tool▁sep｜>
<｜tool▁call▁end｜>
<｜tool▁calls▁end｜>
<|tool_calls_section_begin|>
<|tool_call_begin|>functions.f:0
<|tool_call_argument_begin|>
<|tool_call_end|>
<|tool_calls_section_end|>
<｜DSML｜tool_calls>
<｜DSML｜invoke name="f">
</｜DSML｜invoke>
<｜DSML｜parameter name="a" string="true">
</｜DSML｜parameter>
</｜DSML｜tool_calls>
<|open|>tools<|sep|>
<|open|>call tool="f"<|sep|>
<|close|>call<|sep|>
<|close|>tools<|sep|>
<|open|>response<|sep|>
<|tool_call>
call:f
{a:<|"|>é<|"|>}
<tool_call|>
<|channel>thought
<channel|>
<|channel|>analysis
<|channel|>final
<|message|>
<|end|>
<|start|>assistant
 to=functions.f
 to=python
<|call|>"#;

fn mark() -> impl Strategy<Value = String> {
    let marks: Vec<&str> = MARKS.lines().collect();
    prop::sample::select(marks).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#"{"name": "f", "arguments": {"a": "}\"<tool_call>"}}"#),
        Just(r#"[{"name": "weather", "parameters": {}}]"#),
        Just(r#"{"name": "f", "arguments": "#),
        Just(r#"{"a": 1}"#),
        Just("{"),
        Just("]"),
        Just("\""),
        Just(";"),
        Just(" \n"),
        Just("é"),
        Just("<"),
        Just("text"),
    ]
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_gives_the_same_parts_and_nothing_is_lost(
        parts in prop::collection::vec(part(), 0..10),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        format in prop::sample::select(SpeechFormat::names().collect::<Vec<_>>()),
        begun in any::<bool>(),
    ) {
        let thoughts = if begun { Thoughts::Begun } else { Thoughts::Marked };
        let text = parts.concat();
        let mut places: Vec<usize> = cuts
            .iter()
            .map(|it| it.index(text.len() + 1))
            .filter(|it| text.is_char_boundary(*it))
            .chain([0, text.len()])
            .collect();
        places.sort_unstable();
        let pieces: Vec<&str> = places.windows(2).map(|it| &text[it[0]..it[1]]).collect();
        let whole = hear(parser(format, thoughts), &[&text]);
        prop_assert_eq!(tell(&hear(parser(format, thoughts), &pieces)), tell(&whole));

        // Of every letter that no mark has, the parts have as many as the text; but what stands
        // between the calls of a section is nothing, and so is what is said to nobody.
        let loses = ["channels", "fenced", "separated", "numbered", "invoked", "invoked-spaced",
            "opened", "listed", "named"];
        let count = |text: &str| text.chars().filter(|it| "éx".contains(*it)).count();
        let heard: usize = tell(&whole).iter().map(|it| count(it)).sum();
        prop_assert!(heard == count(&text) || loses.contains(&format));
    }

    #[test]
    fn a_call_is_told_in_order_whatever_the_text(
        parts in prop::collection::vec(part(), 0..12),
        format in prop::sample::select(SpeechFormat::names().collect::<Vec<_>>()),
        reach in prop::sample::select(vec![Reach::Cut, Reach::Whole]),
    ) {
        let text = parts.concat();
        let mut parser = parser(format, Thoughts::Marked);
        let mut told: Vec<Spoken> = text.split("").flat_map(|it| parser.push(it)).collect();
        told.extend(parser.finish(reach));
        let mut open: Option<String> = None;
        for part in told {
            match part {
                Spoken::CallBegins { .. } => prop_assert!(open.replace(String::new()).is_none()),
                Spoken::Arguments(text) => open.as_mut().expect("a call is open").push_str(&text),
                Spoken::CallEnds => {
                    let arguments = open.take().expect("a call is open");
                    let value: Value = serde_json::from_str(&arguments).expect("they are JSON");
                    prop_assert!(value.is_object());
                }
                Spoken::CallBreaks => prop_assert!(open.take().is_some()),
                Spoken::Content(_) | Spoken::Thought(_) => prop_assert!(open.is_none()),
            }
        }
        prop_assert!(open.is_none());
    }
}

#[test]
fn a_call_of_ones_own_accord_is_held_where_its_mark_is_certain_and_its_parser_hears_it() {
    let mut held = Vec::new();
    for name in SpeechFormat::names() {
        let format = SpeechFormat::named(name).expect("a listed format");
        let mut wanted = ToolUse {
            tools: ["f", "weather"].map(tool).to_vec(),
            choice: ToolChoice::Auto,
            parallel: true,
        };
        wanted.tools[0].is_strict = true;
        let Some(free) = format.free_form_of(&wanted) else {
            continue;
        };
        held.push(name);
        let form = &free.form;
        let schemas: Vec<&str> = form
            .functions
            .iter()
            .map(|it| it.arguments.as_str())
            .collect();
        assert!(
            schemas[0].contains("additionalProperties"),
            "{name}: {schemas:?}"
        );
        assert_eq!(schemas[1], r#"{"type": "object"}"#, "{name}");
        let mut text = "Well. ".to_owned();
        for function in &form.functions {
            let call = format!("{}{{\"a\": 1}}{}", function.before, function.after);
            text += &format!("{}{}{call}{} ", free.trigger, form.opening, form.closing);
        }
        let expected = [
            "says Well.",
            "calls f {\"a\": 1}",
            "calls weather {\"a\": 1}",
        ];
        let lines = told(name, &text);
        let heard: Vec<&str> = lines.iter().map(|it| it.trim()).collect();
        let heard: Vec<&str> = heard.into_iter().filter(|it| *it != "says").collect();
        assert_eq!(heard, expected, "{name}: {text}");
    }
    assert_eq!(
        held,
        [
            "tagged",
            "named",
            "listed",
            "fenced",
            "separated",
            "numbered"
        ]
    );
}
