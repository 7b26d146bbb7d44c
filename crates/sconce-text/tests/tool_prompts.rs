//! What a prompt tells of functions, and of the calls of earlier turns.

use expect_test::expect;
use sconce_domain::{Message, Role, Tool, ToolCall};
use sconce_text::{ChatTemplate, CivilTime, Guard, RenderOptions};

fn rendered(template: &str, messages: &[Message], tools: &[Tool]) -> String {
    let options = RenderOptions {
        adds_generation_prompt: true,
        now: CivilTime::from_unix_seconds(0),
    };
    let template = ChatTemplate::new(template, "", "").expect("the template compiles");
    template
        .render(messages, tools, &Guard::none(), &options)
        .expect("the messages are accepted")
        .text()
        .into_owned()
}

fn tools() -> [Tool; 2] {
    let weather = Tool {
        name: "weather".to_owned(),
        description: Some("Tells it.".to_owned()),
        parameters: Some(r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#.to_owned()),
        is_strict: false,
    };
    let now = Tool {
        name: "now".to_owned(),
        description: None,
        parameters: None,
        is_strict: false,
    };
    [weather, now]
}

#[test]
fn a_template_is_given_functions_and_calls_in_the_shape_that_it_expects() {
    let call = |arguments: &str| Message {
        calls: vec![ToolCall {
            id: "c1".to_owned(),
            name: "weather".to_owned(),
            arguments: arguments.to_owned(),
        }],
        reasoning: Some("Hm.".to_owned()),
        ..Message::text(Role::Assistant, "")
    };
    let answer = Message {
        call_id: Some("c1".to_owned()),
        ..Message::text(Role::Tool, "Rain.")
    };
    let messages = [call(r#"{"b": 1, "a": 2}"#), answer, call("no JSON")];
    let template = "{% for it in tools or [] %}{{ it | tojson }}\n{% endfor %}\
        {% for it in messages %}{{ it | tojson }}\n{% endfor %}";
    expect![[r#"
        {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}
        {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"b": 1, "a": 2}}}]}
        {"role": "tool", "content": "Rain.", "tool_call_id": "c1"}
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "no JSON"}}]}
    "#]].assert_eq(&rendered(template, &messages, &tools()));
    let without = rendered("{{ tools is none }}", &messages, &[]);
    assert_eq!(without, "True");
}

#[test]
fn a_template_that_knows_no_functions_has_them_in_the_instructions() {
    let template = "{% for it in messages %}[{{ it.role }}] {{ it.content }}\n{% endfor %}";
    let question = Message::text(Role::User, "Is it warm?");
    let taught = rendered(template, std::slice::from_ref(&question), &tools());
    expect![[r#"
        [system] You can call these functions; each is described in JSON:
        {"type":"function","function":{"name":"weather","description":"Tells it.","parameters":{"type":"object","properties":{"b":{},"a":{}}}}}
        {"type":"function","function":{"name":"now","description":"","parameters":{"type":"object","properties":{}}}}
        To call one, write nothing but this, with its name and its arguments:
        <tool_call>
        {"name": "NAME", "arguments": {ARGUMENTS}}
        </tool_call>
        [user] Is it warm?
    "#]].assert_eq(&taught);
    let instructions = Message::text(Role::System, "Be brief.");
    let both = rendered(template, &[instructions, question], &tools());
    assert_eq!(both, taught.replace("[system] ", "[system] Be brief.\n\n"));
}
