//! Anthropic's dialect. The model says the last message again.

use std::fmt::Write;

use expect_test::{Expect, expect};
use sconce_http::HttpLimits;
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::stage::Stage;

const MESSAGES: &str = "/v1/messages";

const CALLS: &str = "<think>Hm.</think>Look:\n\
    <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
    <tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";

fn request(content: &str, more: &Value) -> Value {
    let mut request = json!({
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn tools() -> Value {
    json!([
        {"name": "f", "description": "does", "input_schema":
            {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"type": "custom", "name": "g", "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral"}},
    ])
}

async fn start() -> (Stage, Server) {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    (stage, server)
}

async fn post(server: &Server, path: &str, request: &Value) -> Reply {
    server.post(path, request.to_string().as_bytes()).await
}

async fn whole(server: &Server, request: &Value) -> Value {
    let reply = post(server, MESSAGES, request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// The events of a stream, each with its name checked against its data.
fn events(reply: &Reply) -> Vec<Value> {
    let blocks = reply.body.split("\n\n").filter(|it| !it.is_empty());
    let event = |block: &str| {
        let (name, data) = block.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            name.strip_prefix("event: "),
            data["type"].as_str(),
            "{block}"
        );
        data
    };
    blocks.map(event).collect()
}

/// The message that a client puts together from events, as Anthropic's own clients do.
fn assembled(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut arguments = String::new();
    for event in events {
        let index = event["index"].as_u64().unwrap_or(0) as usize;
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), index, "{event}");
                content.push(event["content_block"].clone());
                arguments.clear();
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                let delta = &event["delta"];
                let field = match delta["type"].as_str().unwrap() {
                    "text_delta" => "text",
                    "thinking_delta" => "thinking",
                    "input_json_delta" => {
                        arguments.push_str(delta["partial_json"].as_str().unwrap());
                        continue;
                    }
                    other => panic!("no delta is called {other}"),
                };
                let grown =
                    block[field].as_str().unwrap().to_owned() + delta[field].as_str().unwrap();
                block[field] = grown.into();
            }
            "content_block_stop" if !arguments.is_empty() => {
                message["content"][index]["input"] = serde_json::from_str(&arguments).unwrap();
            }
            "message_delta" => {
                for name in ["stop_reason", "stop_sequence"] {
                    message[name] = event["delta"][name].clone();
                }
                message["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    message
}

/// What differs from request to request.
fn without_ids(message: &Value) -> String {
    let mut message = message.clone();
    message["id"] = "…".into();
    for block in message["content"].as_array_mut().unwrap() {
        if block["type"] == "tool_use" {
            assert!(
                block["id"].as_str().unwrap().starts_with("call_"),
                "{block}"
            );
            block["id"] = "…".into();
        }
    }
    for cached in ["input_tokens", "cache_read_input_tokens"] {
        message["usage"][cached] = "…".into();
    }
    message.to_string()
}

#[tokio::test]
async fn a_message_has_the_shape_that_clients_expect() {
    let (_stage, server) = start().await;
    let reply = post(&server, MESSAGES, &request("Hello", &json!({}))).await;
    assert!(reply.header("request-id").unwrap().starts_with("req-"));
    let message = reply.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    expect![[r#"{"id":"…","type":"message","role":"assistant","model":"tiny","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":"…","cache_creation_input_tokens":0,"cache_read_input_tokens":"…","output_tokens":5}}"#]]
        .assert_eq(&without_ids(&message));
}

#[tokio::test]
async fn events_come_in_order_and_make_the_whole_message() {
    let (_stage, server) = start().await;
    let streamed = request(CALLS, &json!({"tools": tools(), "stream": true}));
    let reply = post(&server, MESSAGES, &streamed).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = events(&reply);
    let mut order = String::new();
    let mut before = String::new();
    for event in &events {
        let name = event["type"].as_str().unwrap();
        let kind = event["content_block"]["type"].as_str();
        let kind = kind.or(event["delta"]["type"].as_str()).unwrap_or_default();
        let line = format!("{name} {} {kind}", event["index"]);
        if line != before {
            writeln!(order, "{line}").unwrap();
        }
        before = line;
    }
    expect![[r#"
        message_start null 
        ping null 
        content_block_start 0 thinking
        content_block_delta 0 thinking_delta
        content_block_stop 0 
        content_block_start 1 text
        content_block_delta 1 text_delta
        content_block_stop 1 
        content_block_start 2 tool_use
        content_block_delta 2 input_json_delta
        content_block_stop 2 
        content_block_start 3 tool_use
        content_block_delta 3 input_json_delta
        content_block_stop 3 
        message_delta null 
        message_stop null 
    "#]]
    .assert_eq(&order);

    let message = whole(&server, &request(CALLS, &json!({"tools": tools()}))).await;
    assert_eq!(without_ids(&assembled(&events)), without_ids(&message));
    assert_eq!(message["stop_reason"], "tool_use");
    expect![[r#"{"a":1}"#]].assert_eq(&message["content"][2]["input"].to_string());
}

#[tokio::test]
async fn a_message_says_what_ended_it() {
    let (_stage, server) = start().await;
    let ended = async |content: &str, more: Value| {
        let message = whole(&server, &request(content, &more)).await;
        let streamed = request(content, &json!({"stream": true}));
        let mut streamed = streamed;
        for (name, value) in more.as_object().unwrap() {
            streamed[name] = value.clone();
        }
        let reply = post(&server, MESSAGES, &streamed).await;
        assert_eq!(
            without_ids(&assembled(&events(&reply))),
            without_ids(&message)
        );
        let text = message["content"][0]["text"].clone();
        format!(
            "{} {} {text}",
            message["stop_reason"], message["stop_sequence"]
        )
    };
    let stops = json!({"stop_sequences": ["xyz", "lo w", "world"]});
    assert_eq!(
        ended("hello world", stops).await,
        r#""stop_sequence" "lo w" "hel""#
    );
    let short = json!({"max_tokens": 4});
    assert_eq!(ended("hello", short).await, r#""max_tokens" null "hell""#);
    assert_eq!(
        ended("hello", json!({})).await,
        r#""end_turn" null "hello""#
    );
}

#[tokio::test]
async fn usage_tells_cached_tokens_apart() {
    let (_stage, server) = start().await;
    let asked = request(&"long ".repeat(20), &json!({"max_tokens": 1}));
    let first = whole(&server, &asked).await["usage"].clone();
    assert_eq!(first["cache_read_input_tokens"], 0);
    let counted = json!({"messages": asked["messages"]});
    let counted = post(&server, "/v1/messages/count_tokens", &counted)
        .await
        .json();
    assert_eq!(counted["input_tokens"], first["input_tokens"]);
    let again = whole(&server, &asked).await["usage"].clone();
    let cached = again["cache_read_input_tokens"].as_u64().unwrap();
    assert!(cached > 0, "{again}");
    let all = again["input_tokens"].as_u64().unwrap() + cached;
    assert_eq!(Some(all), first["input_tokens"].as_u64());
}

#[tokio::test]
async fn turns_of_blocks_become_the_turns_that_templates_know() {
    let (_stage, server) = start().await;
    let of = async |messages: Value, system: Value| {
        let body = json!({"messages": messages, "system": system, "tools": tools()});
        let reply = post(&server, "/v1/messages/count_tokens", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["input_tokens"].as_u64().unwrap()
    };
    let blocks = json!([
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "c"},
            {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "d"}]},
            {"type": "text", "text": "e"},
        ]},
    ]);
    let texts = json!([
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "c"},
            {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
            {"type": "thinking", "thinking": "hm"},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "d"}]},
        {"role": "user", "content": "e"},
    ]);
    let system = json!([{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]);
    let counted = of(texts.clone(), json!("x\ny")).await;
    assert_eq!(of(blocks.clone(), system).await, counted);
    let mut failed = blocks;
    failed[3]["content"][0]["is_error"] = true.into();
    let longer = "Error: ".len() as u64;
    assert_eq!(of(failed, json!("x\ny")).await, counted + longer);
}

/// What is said of requests that cannot be honoured.
async fn check_refused(server: &Server, cases: &[Value], expected: Expect) {
    let mut told = String::new();
    for case in cases {
        let reply = post(server, MESSAGES, &request("a", case)).await;
        let error = reply.json();
        assert_eq!(error["type"], "error", "{error}");
        let (kind, message) = (&error["error"]["type"], &error["error"]["message"]);
        let message = message.as_str().unwrap();
        writeln!(
            told,
            "{} {}: {message}",
            reply.status,
            kind.as_str().unwrap()
        )
        .unwrap();
    }
    expected.assert_eq(&told);
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let (_stage, server) = start().await;
    let said = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let image = json!([{"type": "image", "source": {"type": "url", "url": "x"}}]);
    let cases = [
        json!({"max_tokens": null}),
        json!({"messages": []}),
        said(json!(7)),
        said(json!([{"type": "text"}])),
        said(image.clone()),
        said(json!([{"type": "tool_use", "id": "1", "name": "f", "input": {}}])),
        said(json!([{"type": "tool_result", "tool_use_id": "1", "content": image}])),
        json!({"messages": [{"role": "system", "content": "a"}]}),
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        json!({"temperature": 1.5}),
        json!({"stop_sequences": [""]}),
        json!({"service_tier": "flex"}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        json!({"mcp_servers": [{"type": "url"}]}),
        json!({"metadata": {"user": "x"}}),
        json!({"output_config": {"effort": "high"}}),
        json!({"top_q": 1}),
        json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        json!({"tools": [{"name": "f"}]}),
        json!({"tools": tools(), "tool_choice": {"type": "tool", "name": "h"}}),
        json!({"tool_choice": {"type": "any"}}),
        json!({"tools": tools(), "tool_choice": {"type": "maybe"}}),
        json!({"model": "nobody"}),
    ];
    check_refused(&server, &cases, expect![[r#"
        400 invalid_request_error: `max_tokens` is missing; it must be a whole number
        400 invalid_request_error: `messages` must hold at least one message
        400 invalid_request_error: `messages[0].content` must be a string or a list of blocks, not 7
        400 invalid_request_error: `messages[0].content[0].text` is missing; it must be a string
        400 invalid_request_error: `messages[0].content[0].type` is not supported by this server as `image` in a turn of this role; leave it out
        400 invalid_request_error: `messages[0].content[0].type` is not supported by this server as `tool_use` in a turn of this role; leave it out
        400 invalid_request_error: `messages[0].content[0].content[0].type` is not supported by this server as `image`, only as `text`; leave it out
        400 invalid_request_error: `messages[0].role` is `system`; this server knows user and assistant
        400 invalid_request_error: `messages[1].role` is not supported by this server as `assistant` in the last message: an answer is not begun for the model; leave it out
        400 invalid_request_error: `temperature` must be a number from 0 to 1, not 1.5
        400 invalid_request_error: `stop_sequences[0]` has 0 bytes, it must have 1 to 1024
        400 invalid_request_error: `service_tier` is not supported by this server; leave it out
        400 invalid_request_error: `thinking` is not supported by this server; leave it out
        400 invalid_request_error: `mcp_servers` is not supported by this server; leave it out
        400 invalid_request_error: `metadata.user` is no field this server knows; remove it or correct its name
        400 invalid_request_error: `output_config.effort` is not supported by this server; leave it out
        400 invalid_request_error: `top_q` is no field this server knows; remove it or correct its name
        400 invalid_request_error: `tools[0].type` is not supported by this server as `bash_20250124`, only as `custom`; leave it out
        400 invalid_request_error: `tools[0].input_schema` is missing; it must be a JSON Schema
        400 invalid_request_error: `tool_choice` names `h`, which is not among `tools`
        400 invalid_request_error: `tool_choice` requires a call and `tools` has no function
        400 invalid_request_error: `tool_choice.type` is `maybe`; this server knows auto, any, tool and none
        404 not_found_error: the model `nobody` is not served here; use one of: tiny, tiny-alias, default
    "#]]).await;
}

#[tokio::test]
async fn models_are_listed_as_anthropic_lists_them_to_its_clients_alone() {
    let (_stage, server) = start().await;
    let get = async |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             anthropic-version: 2023-06-01\r\n\r\n"
        );
        server.bytes(request.as_bytes()).await
    };
    let page = get("/v1/models?limit=1").await.json();
    let model = page["data"][0].clone();
    assert_eq!(
        (&model["type"], &model["id"]),
        (&json!("model"), &json!("tiny"))
    );
    assert!(
        model["created_at"].as_str().unwrap().ends_with('Z'),
        "{model}"
    );
    assert_eq!(
        (&page["has_more"], &page["last_id"]),
        (&json!(false), &json!("tiny"))
    );
    assert_eq!(get("/v1/models/tiny").await.json(), model);
    assert_eq!(
        get("/v1/models?after_id=tiny").await.json()["data"],
        json!([])
    );
    assert_eq!(
        get("/v1/models?limit=0").await.json()["error"]["type"],
        "invalid_request_error"
    );
    let lost = get("/v1/models/nobody").await;
    assert_eq!(
        (lost.status, &lost.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    assert_eq!(
        lost.json()["request_id"].as_str(),
        lost.header("request-id")
    );
    assert_eq!(server.get("/v1/models").await.json()["object"], "list");
}
