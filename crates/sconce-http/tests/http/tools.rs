//! Functions in requests and answers. The model says the last message again.

use expect_test::expect;
use sconce_http::HttpLimits;
use serde_json::{Value, json};

use crate::server::Server;
use crate::stage::Stage;

const CHAT: &str = "/v1/chat/completions";

fn request(content: &str, more: Value) -> Value {
    let mut request = json!({
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "does", "parameters":
                {"type": "object", "properties": {"a": {"type": "integer"}}}}},
            {"type": "function", "function": {"name": "g"}},
        ],
    });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

const CALLS: &str = "<think>Hm.</think>Look:\n\
    <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
    <tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";

/// Ids differ from request to request.
fn without_ids(text: &str) -> String {
    let mut parts = text.split("call_");
    let mut kept = parts.next().unwrap().to_owned();
    for part in parts {
        kept.push_str("call_…");
        kept.push_str(part.trim_start_matches(|it: char| it.is_ascii_hexdigit()));
    }
    kept
}

#[tokio::test]
async fn calls_and_thoughts_have_the_shape_that_clients_expect_whole_and_streamed() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let whole = request(CALLS, json!({})).to_string();
    let whole = server.post(CHAT, whole.as_bytes()).await.json();
    let choice = &whole["choices"][0];
    expect![[r#"{"index":0,"message":{"role":"assistant","content":"Look:","reasoning_content":"Hm.","tool_calls":[{"id":"call_…","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"call_…","type":"function","function":{"name":"g","arguments":"{}"}}],"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"}"#]].assert_eq(&without_ids(&choice.to_string()));

    let streamed = request(CALLS, json!({"stream": true})).to_string();
    let chunks = server.post(CHAT, streamed.as_bytes()).await.chunks();
    let told = chunks.iter().map(|it| {
        let choice = &it["choices"][0];
        format!(
            "{} {}",
            without_ids(&choice["delta"].to_string()),
            choice["finish_reason"]
        )
    });
    let told: Vec<String> = told.collect();
    expect![[r#"
        {"role":"assistant","content":"","refusal":null} null
        {"reasoning_content":"H"} null
        {"reasoning_content":"m"} null
        {"reasoning_content":"."} null
        {"content":"L"} null
        {"content":"o"} null
        {"content":"o"} null
        {"content":"k"} null
        {"content":":"} null
        {"tool_calls":[{"index":0,"id":"call_…","type":"function","function":{"name":"f","arguments":""}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"{"}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"a"}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":":"}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":" "}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"1"}}]} null
        {"tool_calls":[{"index":0,"function":{"arguments":"}"}}]} null
        {"tool_calls":[{"index":1,"id":"call_…","type":"function","function":{"name":"g","arguments":""}}]} null
        {"tool_calls":[{"index":1,"function":{"arguments":"{"}}]} null
        {"tool_calls":[{"index":1,"function":{"arguments":"}"}}]} null
        {} "tool_calls""#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_call_that_is_required_is_made_and_says_nothing_else() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, name) in [(json!("required"), "f"), (named, "g")] {
        let body = request("No.", json!({"tool_choice": choice})).to_string();
        let whole = server.post(CHAT, body.as_bytes()).await.json();
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{whole}");
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], name);
    }
}

#[tokio::test]
async fn a_chat_goes_on_with_its_calls_and_what_they_gave() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": null, "reasoning_content": "b", "tool_calls": [
            {"id": "call_1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "c"},
    ]);
    let body = request("", json!({"messages": messages, "tool_choice": "none"})).to_string();
    let reply = server.post(CHAT, body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "ac", "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}
