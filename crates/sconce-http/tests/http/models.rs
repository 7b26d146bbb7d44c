//! Models that are loaded and unloaded over HTTP, and what is told of them.

use std::sync::atomic::Ordering;

use crate::server::{Reply, Server};
use crate::stage::loader::repertoire;
use sconce_http::HttpLimits;
use serde_json::{Value, json};

/// Posts JSON as JSON.
pub(crate) async fn ask(server: &Server, path: &str, body: Value) -> Reply {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    server.bytes(head.as_bytes()).await
}

/// How each model stands, in one line.
pub(crate) async fn statuses(server: &Server) -> String {
    let list = server.get("/v1/models").await.json();
    let models = list["data"].as_array().unwrap().iter();
    let words = models.map(|it| it["status"]["value"].as_str().unwrap().to_owned());
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn models_are_loaded_and_unloaded_by_request_and_their_status_is_listed() {
    let (pipeline, _) = repertoire(&[("a", 40), ("b", 40)]);
    let server = Server::start(&pipeline, HttpLimits::default()).await;
    assert_eq!(statuses(&server).await, "unloaded unloaded");
    assert_eq!(
        server.get("/v1/models/a").await.json()["max_model_len"],
        Value::Null
    );
    let reply = ask(&server, "/models/load", json!({"model": "b-alias"})).await;
    let told = reply.json();
    assert_eq!((reply.status, &told["id"]), (200, &json!("b")));
    assert_eq!(told["status"], json!({"value": "loaded"}));
    assert_eq!(told["max_model_len"], 512);
    let told = server.get("/ready").await.json();
    assert_eq!(
        told,
        json!({"status": "ready", "models": {"a": "unloaded", "b": "ready"}})
    );
    let reply = ask(&server, "/models/unload", json!({"model": "b"})).await;
    assert_eq!(reply.json()["status"], json!({"value": "unloaded"}));
    let request = json!({"model": "b", "prompt": "back", "temperature": 0});
    let reply = ask(&server, "/v1/completions", request).await;
    assert_eq!(reply.json()["choices"][0]["text"], "back");
    assert_eq!(statuses(&server).await, "unloaded loaded");
}

#[tokio::test]
async fn a_load_that_fails_is_a_503_with_the_reason_and_the_list_tells_it_too() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40)]);
    let server = Server::start(&pipeline, HttpLimits::default()).await;
    orders[0].fails.store(true, Ordering::SeqCst);
    let reply = ask(&server, "/models/load", json!({"model": "a"})).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("10"))
    );
    assert_eq!(reply.json()["error"]["code"], "model_failed");
    let told = server.get("/v1/models/a").await.json();
    assert_eq!(
        told["status"],
        json!({"value": "failed", "reason": "it was told to fail"})
    );
    assert_eq!(
        server.get("/health").await.status,
        200,
        "the other can answer"
    );
    assert_eq!(server.get("/ready").await.status, 200);
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_unload_models() {
    let (pipeline, _) = repertoire(&[("a", 40)]);
    let server = Server::start(&pipeline, HttpLimits::default()).await;
    // Without this content type a browser asks nobody before it sends.
    let reply = server.post("/models/load", br#"{"model": "a"}"#).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(statuses(&server).await, "unloaded");
    for (body, param) in [
        (json!({}), "model"),
        (json!({"model": 5}), "model"),
        (json!({"model": "a", "force": true}), "force"),
    ] {
        let reply = ask(&server, "/models/load", body).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["param"]),
            (400, &json!(param))
        );
    }
    let reply = ask(&server, "/models/unload", json!({"model": "nobody"})).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn a_stream_that_waits_shows_that_it_is_alive_and_can_still_be_refused() {
    let (pipeline, orders) = repertoire(&[("a", 40)]);
    let limits = HttpLimits {
        keep_alive_s: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(&pipeline, limits).await;
    let streamed = json!({"model": "a", "prompt": "x", "stream": true, "temperature": 0});
    orders[0].load_ms.store(1_400, Ordering::SeqCst);
    orders[0].fails.store(true, Ordering::SeqCst);
    // It has begun to wait, and its head with a status of success has been sent, when the load fails.
    let reply = ask(&server, "/v1/completions", streamed.clone()).await;
    assert_eq!(reply.status, 200);
    let events = reply.events();
    assert_eq!(events.len(), 1, "{reply:?}");
    let told: Value = serde_json::from_str(events[0]).unwrap();
    assert_eq!(told["error"]["code"], "model_failed");
    // The failure is known now, and told before anything is sent.
    let reply = ask(&server, "/v1/completions", streamed.clone()).await;
    assert_eq!(
        (reply.status, reply.header("retry-after").is_some()),
        (503, true)
    );
    assert_eq!(reply.json()["error"]["code"], "model_failed");
}

#[tokio::test]
async fn a_stream_that_waits_for_a_load_is_quiet_for_no_longer_than_it_may_and_then_whole() {
    let (pipeline, orders) = repertoire(&[("a", 40)]);
    let limits = HttpLimits {
        keep_alive_s: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(&pipeline, limits).await;
    orders[0].load_ms.store(3_300, Ordering::SeqCst);
    let body = json!({"prompt": "xyz", "stream": true, "temperature": 0});
    let reply = ask(&server, "/v1/completions", body).await;
    let comments = reply.body.lines().filter(|it| it.starts_with(':')).count();
    assert!((1..=3).contains(&comments), "{comments} in {reply:?}");
    let texts: Vec<String> = reply
        .chunks()
        .iter()
        .filter_map(|it| it["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(texts.concat(), "xyz");
}
