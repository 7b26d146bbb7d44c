//! Clients that leave, a model that is still loading, a server that shuts down.

use std::sync::Arc;
use std::time::Duration;

use crate::server::{Server, read_reply};
use crate::stage::{Echo, Sizes, Stage, eventually};
use sconce_http::HttpLimits;
use sconce_pipeline::{AdmissionLimits, Pipeline};
use serde_json::json;
use tokio::io::AsyncReadExt;

const CHAT: &str = "/v1/chat/completions";

fn long_chat(streams: bool) -> String {
    let content = "x".repeat(250);
    json!({"messages": [{"role": "user", "content": content}], "stream": streams}).to_string()
}

#[tokio::test]
async fn a_client_that_leaves_is_cancelled_streaming_or_not() {
    let stage = Stage::echo(5);
    let engine = stage.engine.handle();
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    for streams in [true, false] {
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(server.open(CHAT, &long_chat(streams)).await);
        }
        eventually("all run", || engine.status().running == 4).await;
        connections.truncate(1);
        eventually("only one is left", || engine.status().running == 1).await;
        drop(connections);
        eventually("no block is referenced", || {
            engine.status().blocks_referenced == 0
        })
        .await;
        eventually("no place is taken", || stage.pipeline.answers_open() == 0).await;
    }
}

#[tokio::test]
async fn a_server_listens_before_its_model_is_loaded() {
    let limits = AdmissionLimits {
        running_max: 4,
        queue_max: 4,
        wait_max: None,
    };
    let pipeline = Arc::new(Pipeline::new(limits));
    let server = Server::start(&pipeline, HttpLimits::default()).await;
    let body = br#"{"messages":[{"role":"user","content":"a"}]}"#;
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(server.get("/ready").await.status, 503);
    assert_eq!(server.get("/v1/models").await.json()["data"], json!([]));
    let reply = server.post(CHAT, body).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("5"))
    );
    let _engine = crate::stage::open(
        &pipeline,
        Echo {
            step: Duration::ZERO,
        },
        Sizes::default(),
    );
    assert_eq!(server.get("/ready").await.status, 200);
    assert_eq!(server.post(CHAT, body).await.status, 200);
}

#[tokio::test]
async fn a_shutdown_lets_running_requests_finish_and_refuses_new_ones() {
    let stage = Stage::echo(2);
    let mut server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let mut running = server.open(CHAT, &long_chat(true)).await;
    eventually("it runs", || stage.pipeline.answers_open() == 1).await;
    server.shut_down();
    eventually("the drain began", || {
        stage.pipeline.readiness() == sconce_pipeline::Readiness::Draining
    })
    .await;
    assert_eq!(server.get("/ready").await.status, 503);
    let body = br#"{"messages":[{"role":"user","content":"a"}]}"#;
    assert_eq!(server.post(CHAT, body).await.status, 503);
    let reply = read_reply(&mut running).await;
    let text: String = reply
        .chunks()
        .iter()
        .filter_map(|it| {
            it["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(text, "x".repeat(250));
    server.ended().await;
}

#[tokio::test]
async fn a_shutdown_drops_what_is_not_done_in_time() {
    let stage = Stage::echo(20);
    let limits = HttpLimits {
        drain_timeout_s: 1,
        ..HttpLimits::default()
    };
    let mut server = Server::start(&stage.pipeline, limits).await;
    let mut running = server.open(CHAT, &long_chat(true)).await;
    eventually("it runs", || stage.pipeline.answers_open() == 1).await;
    server.shut_down();
    server.ended().await;
    let mut rest = Vec::new();
    let _ = running.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
    let engine = stage.engine.handle();
    eventually("the engine is idle", || engine.status().running == 0).await;
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_places() {
    let stage = Stage::echo(0);
    let limits = HttpLimits {
        write_timeout_s: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(&stage.pipeline, limits).await;
    let content = "x".repeat(250);
    let body = json!({
        "messages": [{"role": "user", "content": content}],
        "stream": true, "n": 24, "logprobs": true, "top_logprobs": 20,
    });
    let _unread = server.open(CHAT, &body.to_string()).await;
    eventually("it runs", || stage.pipeline.answers_open() == 24).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        stage.pipeline.answers_open(),
        24,
        "more is to be sent than the system holds"
    );
    eventually("its places are free", || stage.pipeline.answers_open() == 0).await;
}
