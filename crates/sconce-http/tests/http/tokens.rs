//! Text to tokens and back, as vLLM's endpoints do it.

use expect_test::expect;
use sconce_http::HttpLimits;
use serde_json::{Value, json};

use crate::server::Server;
use crate::stage::Stage;

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    server.post(path, body.to_string().as_bytes()).await.json()
}

#[tokio::test]
async fn a_text_becomes_tokens_and_the_same_text_again() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let text = "aü<|end|>";
    let told = post(&server, "/tokenize", &json!({"prompt": text})).await;
    assert_eq!(
        told,
        json!({"tokens": [97, 195, 188, 256], "count": 4, "max_model_len": 512})
    );
    let back = json!({"tokens": told["tokens"], "model": "tiny-alias"});
    assert_eq!(
        post(&server, "/detokenize", &back).await,
        json!({"prompt": text})
    );
    let bare = json!({"prompt": "", "add_special_tokens": false});
    assert_eq!(post(&server, "/tokenize", &bare).await["count"], 0);
    let none = post(&server, "/detokenize", &json!({"tokens": []})).await;
    assert_eq!(none["prompt"], "");
}

#[tokio::test]
async fn a_tokenizer_is_told_as_clients_know_it() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let told = server.get("/tokenizer_info").await.json();
    expect![[r#"{"model":"tiny","bos_token":null,"eos_token":"<|end|>","pad_token":null,"chat_template":"{# tools <tool_call> \"name\" <think> </think> #}{% for message in messages %}{% if message.role == 'system' %}[{{ message.content }}]{% else %}{{ message.content }}{% endif %}{% endfor %}","vocab_size":258,"max_model_len":512}"#]].assert_eq(&told.to_string());
}

#[tokio::test]
async fn what_cannot_become_tokens_or_text_is_refused_by_name() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let mut told = String::new();
    for (path, body) in [
        ("/tokenize", json!({})),
        ("/tokenize", json!({"prompt": ["a"]})),
        ("/tokenize", json!({"prompt": "a", "add_special_tokens": 1})),
        ("/tokenize", json!({"prompt": "a", "model": "other"})),
        ("/tokenize", json!({"messages": []})),
        ("/detokenize", json!({})),
        ("/detokenize", json!({"tokens": "a"})),
        ("/detokenize", json!({"tokens": [1, -1]})),
        ("/detokenize", json!({"tokens": [1, 258]})),
    ] {
        let error = post(&server, path, &body).await["error"].clone();
        told += &format!(
            "{} {}: {}\n",
            error["param"], error["code"], error["message"]
        );
    }
    expect![[r#"
        "prompt" "invalid_value": "`prompt` is missing; it must be a string"
        "prompt" "invalid_value": "`prompt` must be a string, not a list"
        "add_special_tokens" "invalid_value": "`add_special_tokens` must be true or false, not 1"
        "model" "model_not_found": "the model `other` is not served here; use one of: tiny, tiny-alias, default"
        "prompt" "invalid_value": "`prompt` is missing; it must be a string"
        "tokens" "invalid_value": "`tokens` is missing; it must be a list of token ids"
        "tokens" "invalid_value": "`tokens` must be a list of token ids, not a string"
        "tokens[1]" "invalid_value": "`tokens[1]` must be a token id, not -1"
        "tokens" "unknown_token": "`tokens` has token id 258 and `tiny` knows ids 0 to 257"
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn markers_are_tokens_in_raw_prompts_and_text_in_chats() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let tokens_of = async |path: &str, body: Value| {
        let told = post(&server, path, &body).await;
        told["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let raw = async |prompt: &str| tokens_of("/v1/completions", json!({"prompt": prompt})).await;
    assert_eq!((raw("a").await, raw("a<|end|>").await), (1, 2));
    let chat = async |content: &str| {
        let messages = json!([{"role": "user", "content": content}]);
        tokens_of("/v1/chat/completions", json!({"messages": messages})).await
    };
    assert_eq!(chat("a<|end|>").await, chat("a").await + 7);
    let refused = json!({"prompt": "a", "add_special_tokens": false});
    let told = post(&server, "/v1/completions", &refused).await;
    assert_eq!(told["error"]["param"], "add_special_tokens");
}
