//! Bad requests are told what to change, and a stream beside them goes on undisturbed.

use serde_json::{Value, json};

use crate::server::{CHAT, COMPLETIONS, Server};

/// Where a body goes, the body, the status it gets, and what the message must name.
type Case = (&'static str, Vec<u8>, u16, &'static str);

fn chat(fields: &Value) -> Vec<u8> {
    let mut request = json!({"messages": [{"role": "user", "content": "Hello"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    request.to_string().into_bytes()
}

fn says(content: &str) -> Vec<u8> {
    chat(&json!({"messages": [{"role": "user", "content": content}]}))
}

fn cases() -> Vec<Case> {
    let deep = format!("{{\"messages\": {}", "[".repeat(100_000)).into_bytes();
    vec![
        (CHAT, b"{\"messages\": [".to_vec(), 400, "JSON"),
        (CHAT, deep, 400, "recursion limit"),
        (CHAT, b"{\"model\": \"\xff\"}".to_vec(), 400, "unicode"),
        (CHAT, chat(&json!({"messages": "hi"})), 400, "messages"),
        (CHAT, chat(&json!({"messages": []})), 400, "messages"),
        (
            CHAT,
            chat(&json!({"messages": [{"role": "user"}]})),
            400,
            "messages[0].content",
        ),
        (
            CHAT,
            chat(&json!({"temperature": "hot"})),
            400,
            "temperature",
        ),
        (CHAT, chat(&json!({"max_tokens": -1})), 400, "max_tokens"),
        (CHAT, chat(&json!({"temprature": 1})), 400, "temprature"),
        (
            CHAT,
            chat(&json!({"tools": [{"type": "function"}]})),
            400,
            "tools",
        ),
        (CHAT, says(&"word ".repeat(9_000)), 400, "4097"),
        (CHAT, says(&"a".repeat(5 << 20)), 413, "bytes"),
        (CHAT, chat(&json!({"model": "nobody"})), 404, "nobody"),
        (
            COMPLETIONS,
            json!({"model": "nobody", "prompt": "a"}).to_string().into(),
            404,
            "nobody",
        ),
        (
            COMPLETIONS,
            json!({"prompt": "word ".repeat(9_000)}).to_string().into(),
            400,
            "4097",
        ),
        (
            COMPLETIONS,
            json!({"prompt": [1, 2, 4_000_000_000_u32]})
                .to_string()
                .into(),
            400,
            "4000000000",
        ),
        ("/v1/images", says("a"), 404, "/v1/embeddings"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_by_name_while_a_stream_goes_on() {
    let server = Server::start(&["--kv-tokens", "4096"]).await;
    let prompt = "The history of the bicycle begins";
    let solo = server.stream(prompt, 400).await.finish().await;
    let mut stream = server.stream(prompt, 400).await;
    let mut text = stream.piece().await;
    for (path, body, status, named) in cases() {
        let response = server.post(path, body).await;
        assert_eq!(response.status().as_u16(), status, "{named}");
        let answer: Value = response.json().await.unwrap();
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named), "{message:?} does not name {named}");
        assert_eq!(error["type"], "invalid_request_error", "{answer}");
        assert!(
            error.get("param").is_some() && error.get("code").is_some(),
            "{answer}"
        );
    }
    let running = server.metric("vllm:num_requests_running").await;
    assert!(
        running > 0.0,
        "the stream was over before the bad requests were"
    );
    text.push_str(&stream.finish().await.text);
    assert_eq!(text, solo.text);
}
