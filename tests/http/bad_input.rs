//! Bad requests are told what to change, and a stream beside them goes on undisturbed.

use serde_json::{Value, json};

use crate::server::Server;

const CHAT: &str = "/v1/chat/completions";

/// Where a body goes, the body, the status it gets, and what the message must name.
type Case = (&'static str, Vec<u8>, u16, &'static str);

fn cases() -> Vec<Case> {
    let chat = |content: &str| {
        json!({"messages": [{"role": "user", "content": content}]})
            .to_string()
            .into_bytes()
    };
    let deep = format!("{{\"messages\": {}", "[".repeat(100_000)).into_bytes();
    let unknown = json!({"model": "nobody", "prompt": "a"})
        .to_string()
        .into_bytes();
    vec![
        (CHAT, b"{\"messages\": [".to_vec(), 400, "JSON"),
        (CHAT, b"{\"messages\": \"hi\"}".to_vec(), 400, "messages"),
        (CHAT, b"{\"messages\": []}".to_vec(), 400, "messages"),
        (CHAT, deep, 400, "recursion limit"),
        (CHAT, b"{\"model\": \"\xff\"}".to_vec(), 400, "unicode"),
        (CHAT, chat(&"word ".repeat(9_000)), 400, "4097"),
        (CHAT, chat(&"a".repeat(5 << 20)), 413, "bytes"),
        ("/v1/completions", unknown, 404, "nobody"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_by_name_while_a_stream_goes_on() {
    let server = Server::start(&["--kv-tokens", "4096"]).await;
    let prompt = "The history of the bicycle begins";
    let solo = server.stream(prompt, 200).await.rest().await;
    let mut stream = server.stream(prompt, 200).await;
    let mut text = stream.next().await.unwrap();
    for (path, body, status, named) in cases() {
        let response = server.post(path, body).await;
        assert_eq!(response.status().as_u16(), status, "{named}");
        let error: Value = response.json().await.unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(named), "{message:?} does not name {named}");
    }
    text.push_str(&stream.rest().await);
    assert_eq!(text, solo);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_honoured_and_reproducible() {
    let server = Server::start(&[]).await;
    let ask = async |more: Value| {
        let mut request = json!({"prompt": "Colours: red, green,", "max_tokens": 24});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        server.complete(request).await
    };
    let text = |answer: &Value, index: usize| {
        answer["choices"][index]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second) = (ask(json!({"seed": 7})).await, ask(json!({"seed": 7})).await);
    assert_eq!(text(&first, 0), text(&second, 0));
    assert_ne!(text(&first, 0), text(&ask(json!({"seed": 8})).await, 0));
    let greedy = ask(json!({"temperature": 0})).await;
    let streamed = server.stream("Colours: red, green,", 24).await.rest().await;
    assert_eq!(text(&greedy, 0), streamed);
    let stopped = ask(json!({"temperature": 0, "stop": [","]})).await;
    assert_eq!(
        text(&greedy, 0).split(',').next().unwrap(),
        text(&stopped, 0)
    );
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let two = ask(json!({"n": 2, "seed": 3})).await;
    assert_ne!(text(&two, 0), text(&two, 1));
    let logprobs = &ask(json!({"temperature": 0, "logprobs": 3})).await["choices"][0]["logprobs"];
    let (own, top) = (&logprobs["token_logprobs"], &logprobs["top_logprobs"]);
    assert_eq!(own.as_array().unwrap().len(), 24);
    assert!(own[0].as_f64().unwrap() <= 0.0 && top[0].as_object().unwrap().len() >= 3);
    let penalised =
        ask(json!({"temperature": 0, "frequency_penalty": 2, "presence_penalty": 2})).await;
    assert_ne!(text(&greedy, 0), text(&penalised, 0));
}
