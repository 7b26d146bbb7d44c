//! A real model that must call functions.

use serde_json::{Value, json};

use crate::server::{CHAT, Server};

fn question(choice: &Value, seed: u32) -> Value {
    json!({
        "messages": [{"role": "user", "content": "Is it warm in Oslo? And what is 3 plus 4?"}],
        "max_tokens": 400, "temperature": 1, "seed": seed,
        "tool_choice": choice, "parallel_tool_calls": false,
        "tools": [
            {"type": "function", "function": {
                "name": "weather", "description": "Tells the weather of a city.",
                "parameters": {
                    "type": "object", "required": ["city", "unit"], "additionalProperties": false,
                    "properties": {
                        "city": {"type": "string", "maxLength": 12},
                        "unit": {"$ref": "#/$defs/unit"},
                    },
                    "$defs": {"unit": {"enum": ["celsius", "kelvin"]}},
                },
            }},
            {"type": "function", "function": {
                "name": "add", "description": "Adds two numbers.",
                "parameters": {
                    "type": "object", "required": ["one", "other"], "additionalProperties": false,
                    "properties": {
                        "one": {"type": "integer", "minimum": 0, "maximum": 99},
                        "other": {"type": "integer", "minimum": 0, "maximum": 99},
                    },
                },
            }},
            {"type": "function", "function": {"name": "now"}},
        ],
    })
}

/// Checks the one call of `choice`, and gives the function's name and the arguments as written.
fn check(choice: &Value) -> (String, String) {
    assert_eq!(choice["message"]["content"], Value::Null, "{choice}");
    check_call(choice)
}

fn check_call(choice: &Value) -> (String, String) {
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 1, "{choice}");
    let function = &calls[0]["function"];
    let written = function["arguments"].as_str().unwrap().to_owned();
    let arguments: Value = serde_json::from_str(&written).unwrap();
    let of = |name: &str| arguments[name].clone();
    let name = function["name"].as_str().unwrap().to_owned();
    let fields = match name.as_str() {
        "weather" => {
            assert!(
                of("city").as_str().unwrap().chars().count() <= 12,
                "{written}"
            );
            assert!(
                [json!("celsius"), json!("kelvin")].contains(&of("unit")),
                "{written}"
            );
            2
        }
        "add" => {
            let bounded = |it: Value| it.as_u64().is_some_and(|it| it <= 99);
            assert!(bounded(of("one")) && bounded(of("other")), "{written}");
            2
        }
        "now" => 0,
        other => panic!("nobody offered `{other}`"),
    };
    assert_eq!(arguments.as_object().unwrap().len(), fields, "{written}");
    (name, written)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_must_call_does_and_keeps_the_schema_whole_and_streamed() {
    let server = Server::start(&[]).await;
    for seed in 0..8 {
        let request = question(&json!("required"), seed);
        let whole = server.whole(CHAT, &request).await;
        let called = check(&whole["choices"][0]);
        let streamed = server.streamed(CHAT, &request).await.finish().await;
        assert_eq!(streamed.calls, [called]);
        assert_eq!(
            (streamed.text.as_str(), &*streamed.finish_reason),
            ("", "tool_calls")
        );
    }
    for name in ["weather", "add", "now"] {
        let choice = json!({"type": "function", "function": {"name": name}});
        let whole = server.whole(CHAT, &question(&choice, 1)).await;
        assert_eq!(check(&whole["choices"][0]).0, name);
    }
}

/// A question to a model that may call or not. Earlier turns show it calls that fit no schema.
fn tempting_question(is_strict: bool, seed: u32) -> Value {
    let mut request = question(&json!("auto"), seed);
    for tool in request["tools"].as_array_mut().unwrap() {
        tool["function"]["strict"] = json!(is_strict);
    }
    let mut messages = Vec::new();
    for city in ["Rome", "Paris", "Bern"] {
        let call = json!({"name": "weather", "arguments": {"place": city}});
        let call = format!("<tool_call>\n{call}\n</tool_call>");
        messages.push(json!({"role": "user", "content": format!("Weather in {city}?")}));
        messages.push(json!({"role": "assistant", "content": call}));
    }
    messages.push(json!({"role": "user", "content": "Weather in Oslo?"}));
    request["messages"] = Value::from(messages);
    request["max_tokens"] = json!(100);
    request["temperature"] = json!(0.5);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_may_call_keeps_the_schema_of_strict_functions_whole_and_streamed() {
    let server = Server::start(&[]).await;
    let mut called = 0;
    for seed in 0..4 {
        let request = tempting_question(true, seed);
        let whole = server.whole(CHAT, &request).await;
        let choice = &whole["choices"][0];
        let streamed = server.streamed(CHAT, &request).await.finish().await;
        let text = choice["message"]["content"].as_str().unwrap_or_default();
        assert_eq!(streamed.text, text, "seed {seed}");
        if choice["message"]["tool_calls"].is_array() {
            assert_eq!(streamed.calls, [check_call(choice)], "seed {seed}");
            called += 1;
        }
    }
    assert!(called > 0, "no answer called");
    // What the model would rather say: without `strict` nothing holds it to the schema.
    let whole = server.whole(CHAT, &tempting_question(false, 0)).await;
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    let arguments = call["function"]["arguments"].as_str();
    assert!(arguments.is_some_and(|it| it.contains("place")), "{whole}");
}
