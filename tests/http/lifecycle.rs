//! From the first line to the last: loading, ready, busy, draining, gone.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::server::{COMPLETIONS, Server};

/// Something that a model at temperature zero goes on with for long.
const COUNTING: &str = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,";
/// Keys and values of one token of the default model, in halves.
const KV_TOKEN_BYTES: f64 = 23_040.0;

/// Asks for something that must be refused with `status`; the answer's headers and error object.
async fn refusal(server: &Server, status: StatusCode) -> (HeaderMap, Value) {
    let request = json!({"prompt": "a"}).to_string();
    let refused = server.post(COMPLETIONS, request).await;
    assert_eq!(refused.status(), status);
    let headers = refused.headers().clone();
    let mut answer: Value = refused.json().await.unwrap();
    (headers, answer["error"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_still_loading_is_alive_but_not_ready() {
    // A hub that takes connections and says nothing keeps the server loading for ever.
    let silence = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = format!("http://{}", silence.local_addr().unwrap());
    let cache = tempfile::tempdir().unwrap();
    let mut server = Server::launch(&[
        "--model",
        "nobody/silent:model.gguf",
        "--hub-endpoint",
        &hub,
        "--cache-dir",
        cache.path().to_str().unwrap(),
    ])
    .await;
    assert_eq!(server.get("/health").await.status(), StatusCode::OK);
    assert_eq!(
        server.get("/ready").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(server.get("/metrics").await.status(), StatusCode::OK);
    let (headers, error) = refusal(&server, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(headers.contains_key("retry-after"));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("still loading"), "{message}");
    server.signal("TERM");
    assert!(server.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_server_announces_itself_counts_what_it_does_and_stays_small() {
    let server = Server::start(&["--kv-tokens", "4096"]).await;
    let mut announced = String::new();
    while !announced.contains("curl") || !announced.contains("\"stream\": true") {
        announced.push_str(&server.printed_line());
    }
    for part in [
        &server.url,
        "is ready after",
        "of weights",
        "a KV cache of 4,096 tokens",
    ] {
        assert!(announced.contains(part), "{part:?} is not in {announced}");
    }
    assert_eq!(server.get("/health").await.status(), StatusCode::OK);
    let answer = server.stream(COUNTING, 20).await.finish().await;
    server
        .until("the request is recorded", 5, async || {
            server.metric("vllm:generation_tokens_total").await == answer.tokens as f64
        })
        .await;
    let metrics = server.get("/metrics").await.text().await.unwrap();
    for name in [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:request_queue_time_seconds_bucket",
        "vllm:iteration_tokens_total_bucket",
        "sconce_kv_blocks_referenced",
    ] {
        assert!(
            metrics.contains(&format!("\n{name}{{")),
            "{name} is missing in {metrics}"
        );
    }
    check_memory(&server).await;
}

/// Weights once, the tokenizer and the program: at most 1.6 times the file, plus the cache set.
async fn check_memory(server: &Server) {
    // Fills every block of the cache, so that all of it is resident.
    for index in 0..8 {
        let prompt = format!("{index} {}", "word ".repeat(600));
        server
            .whole(COMPLETIONS, &json!({"prompt": prompt, "max_tokens": 4}))
            .await;
    }
    // Finding the file runs a runtime of its own, which must not stand inside this one.
    let file = tokio::task::spawn_blocking(|| sconce_tests::model_file("default").unwrap());
    let file_bytes = file.await.unwrap().metadata().unwrap().len() as f64;
    let (resident, cache) = (server.resident_bytes(), 4_096.0 * KV_TOKEN_BYTES);
    let bound = 1.6 * file_bytes + cache;
    let times = (resident - cache) / file_bytes;
    println!(
        "resident: {:.0} MB of {:.0} MB allowed, the full cache apart {times:.2} times the file",
        resident / 1e6,
        bound / 1e6
    );
    assert!(resident <= bound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back() {
    let server = Server::start(&["--running-max", "1", "--queue-max", "1"]).await;
    let mut running = server.stream(COUNTING, 2_000).await;
    running.piece().await;
    let waiting = server.stream("The capital of France is", 4);
    let third = async {
        server
            .until("a request waits", 10, async || {
                server.metric("vllm:num_requests_waiting").await == 1.0
            })
            .await;
        let (headers, error) = refusal(&server, StatusCode::TOO_MANY_REQUESTS).await;
        let retry_after = headers["retry-after"].to_str().unwrap();
        assert!(retry_after.parse::<u32>().unwrap() >= 1);
        assert_eq!(error["code"], "rate_limit_exceeded");
        drop(running);
    };
    let (waited, ()) = tokio::join!(async { waiting.await.finish().await }, third);
    assert!(waited.text.contains("Paris"), "{waited:?}");
}

async fn until_draining(server: &Server) {
    server
        .until("the server drains", 5, async || {
            server.get("/ready").await.status() == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_finishes_its_streams_and_refuses_new_requests() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]).await;
        let solo = server.stream(COUNTING, 250).await.finish().await;
        let mut stream = server.stream(COUNTING, 250).await;
        let mut text = stream.piece().await;
        server.signal(signal);
        until_draining(&server).await;
        let (_, error) = refusal(&server, StatusCode::SERVICE_UNAVAILABLE).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("shutting down"), "{message}");
        text.push_str(&stream.finish().await.text);
        assert_eq!(text, solo.text);
        assert!(server.ended().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_with_streams_ends_at_the_timeout() {
    let mut server = Server::start(&["--drain-timeout-s", "1"]).await;
    let mut stream = server.stream(COUNTING, 4_000).await;
    stream.piece().await;
    let told = Instant::now();
    server.signal("TERM");
    assert!(
        !stream.comes_to_its_end().await,
        "the stream was over within the timeout"
    );
    assert!(
        told.elapsed() >= Duration::from_millis(900),
        "it ended after {:?}",
        told.elapsed()
    );
    assert!(server.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_draining_server_at_once() {
    let mut server = Server::start(&[]).await;
    let mut stream = server.stream(COUNTING, 4_000).await;
    stream.piece().await;
    server.signal("TERM");
    until_draining(&server).await;
    let told = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(130));
    assert!(
        told.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        told.elapsed()
    );
}
