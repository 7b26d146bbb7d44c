//! Answers of a real model that are held to a form.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::{CHAT, COMPLETIONS, Server};

/// What [`schema`] asks for, read by a stranger to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    name: String,
    age: u8,
    mood: Mood,
    colours: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Good,
    Bad,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 18, "maximum": 150},
            "mood": {"enum": ["good", "bad"]},
            "colours": {
                "type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 8},
            },
        },
        "required": ["name", "age", "mood", "colours"],
        "additionalProperties": false,
    })
}

fn question(format: &Value, seed: u32) -> Value {
    json!({
        "messages": [{"role": "user", "content": "Invent a person. Answer in JSON."}],
        "max_tokens": 400, "temperature": 1, "seed": seed, "response_format": format,
    })
}

fn check(text: &str) {
    let person: Person = serde_json::from_str(text).unwrap_or_else(|it| panic!("{it} in {text}"));
    assert!(person.name.chars().count() <= 12, "{person:?}");
    assert!((18..=150).contains(&person.age), "{person:?}");
    assert!(matches!(person.mood, Mood::Good | Mood::Bad));
    assert!(person.colours.len() <= 2, "{person:?}");
    assert!(person.colours.iter().all(|it| it.chars().count() <= 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_fits_its_schema_at_any_seed() {
    let server = Server::start(&[]).await;
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema()}});
    let ask = async |seed: u32| {
        let request = question(&format, seed);
        let whole = server.whole(CHAT, &request).await;
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "stop", "{whole}");
        let text = choice["message"]["content"].as_str().unwrap().to_owned();
        check(&text);
        text
    };
    let texts = join_all((0..20).map(ask)).await;
    // Streamed, it is the same, and next to others as well as alone.
    let streamed = server.streamed(CHAT, &question(&format, 3)).await;
    assert_eq!(streamed.finish().await.text, texts[3]);
    let same = texts.iter().filter(|it| **it == texts[0]).count();
    assert!(same < 5, "the model was not asked: {texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn regular_expressions_choices_and_grammars_are_kept_on_both_endpoints() {
    let server = Server::start(&[]).await;
    let held = async |outputs: Value| {
        let common = json!({"max_tokens": 40, "temperature": 1, "structured_outputs": outputs});
        let with = |name: &str, value: Value| {
            let mut request = common.clone();
            request[name] = value;
            request
        };
        let message = json!([{"role": "user", "content": "When was that?"}]);
        let chat = server.whole(CHAT, &with("messages", message)).await;
        let prompt = with("prompt", json!("It was on"));
        let completion = server.whole(COMPLETIONS, &prompt).await;
        let chat = chat["choices"][0]["message"]["content"].clone();
        [chat, completion["choices"][0]["text"].clone()].map(|it| it.as_str().unwrap().to_owned())
    };
    for text in held(json!({"regex": "[0-9]{4}-[0-9]{2}-[0-9]{2}"})).await {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        assert!(
            text.len() == 10 && digits == 8 && text.as_bytes()[4] == b'-',
            "{text}"
        );
    }
    for text in held(json!({"choice": ["last Sunday", "in May", "\u{1f34e}"]})).await {
        assert!(
            ["last Sunday", "in May", "\u{1f34e}"].contains(&text.as_str()),
            "{text}"
        );
    }
    for text in held(json!({"grammar": "start: \"<\" (\"a\" | \"b\")~3 \">\""})).await {
        assert!(
            text.len() == 5 && text.starts_with('<') && text.ends_with('>'),
            "{text}"
        );
    }
    let gbnf = "root ::= pair+\npair ::= \"(\" (pair | [a-c]{2}) \")\" # nested\n";
    for text in held(json!({"grammar": gbnf})).await {
        let opened = text.matches('(').count();
        assert!(text.starts_with('(') && opened > 0, "{text}");
        assert!(text.chars().all(|it| "()abc".contains(it)), "{text}");
    }
    for text in held(json!({"json": "{\"const\": {\"a\": [1]}}"})).await {
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"a": [1]})
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_cannot_be_kept_is_refused_within_a_second_and_streams_go_on() {
    let server = Server::start(&[]).await;
    let other = server.stream("One, two, three,", 48).await;
    let optional: Vec<String> = (0..6000)
        .map(|it| format!("\"p{it}\": {{\"type\": \"string\"}}"))
        .collect();
    let explosive = format!(
        "{{\"type\": \"object\", \"properties\": {{{}}}}}",
        optional.join(",")
    );
    let hopeless = [
        (json!({"json": explosive}), "grammar"),
        (
            json!({"json": {"type": "array", "uniqueItems": true}}),
            "uniqueItems",
        ),
        (json!({"regex": "(a"}), "grammar"),
        (json!({"regex": "(".repeat(100_000)}), "deep"),
        (
            json!({"grammar": "root ::= \"a"}),
            "line 1, column 10 of the GBNF",
        ),
    ];
    for (outputs, says) in hopeless {
        let request = json!({"prompt": "a", "structured_outputs": outputs});
        let begun = Instant::now();
        let response = server.post(COMPLETIONS, request.to_string()).await;
        let (took, status) = (begun.elapsed(), response.status());
        let answer: Value = response.json().await.unwrap();
        let error = &answer["error"];
        assert!(
            took < Duration::from_secs(1),
            "{says} took {took:?}: {error}"
        );
        assert_eq!(
            (status.as_u16(), &error["param"]),
            (400, &json!("structured_outputs")),
            "{error}"
        );
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    let streamed = other.finish().await;
    assert_eq!(streamed.tokens, 48);
    assert_eq!(server.metric("vllm:num_requests_running").await, 0.0);
}
