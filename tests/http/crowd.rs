//! Many clients at once: each gets what it gets alone, and who leaves gives everything back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::server::Server;
use crate::stream::{Answer, Stream};

const CLIENTS: usize = 32;
/// Enough that the first of the crowd still writes when the last one's prompt has been read.
const TOKENS_MAX: u32 = 40;
/// Counts the engine's steps.
const STEPS: &str = "vllm:iteration_tokens_total_count";
/// Time for the gauges to show that clients have left.
const GONE_MAX: Duration = Duration::from_millis(100);
/// The step that ran and the one that the leavers were no more in: what they may take where a step
/// is slow because other programs want the processors, too.
const GONE_STEPS_MAX: f64 = 2.0;

/// Prompts of mixed kinds and lengths, some with a common beginning, some of several scripts.
fn prompts() -> Vec<String> {
    let openings = [
        "The capital of France is",
        "def fibonacci(n):",
        "日本の首都は",
        "Once upon a time, in a village by the sea, there lived",
        "List: 🍎 🍐 🍊",
        "The capital of France is Paris, and the capital of Germany is Berlin, and the capital of",
        "Q: What is seven times eight?\nA:",
        "Привет",
    ];
    let lengthen = |index: usize| format!("{} {}", "word ".repeat(index * 3), openings[index % 8]);
    (0..CLIENTS).map(lengthen).collect()
}

async fn one(server: &Server, prompt: &str) -> Answer {
    server.stream(prompt, TOKENS_MAX).await.finish().await
}

async fn together(server: &Server, prompts: &[String]) -> Vec<Answer> {
    join_all(prompts.iter().map(|prompt| one(server, prompt))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_clients_gets_what_each_gets_alone_and_leavers_give_their_blocks_back() {
    let server = Server::start(&[]).await;
    let prompts = prompts();
    // First with nothing in the prefix cache, later with every prompt in it.
    let cold = together(&server, &prompts).await;
    let begun = Instant::now();
    let mut solo = Vec::new();
    for prompt in &prompts {
        solo.push(one(&server, prompt).await);
    }
    let solo_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let warm = together(&server, &prompts).await;
    let together_s = begun.elapsed().as_secs_f64();
    assert_eq!(cold, solo);
    assert_eq!(warm, solo);
    let tokens: u64 = solo.iter().map(|it| it.tokens).sum();
    println!(
        "one client: {:.0} tokens/s; {CLIENTS} clients: {:.0} tokens/s",
        tokens as f64 / solo_s,
        tokens as f64 / together_s
    );
    assert!(
        together_s * 1.5 < solo_s,
        "the batch is hardly faster than one by one"
    );
    half_leave(&server, &prompts, &solo).await;
    server
        .until("nobody holds a block", 2, async || {
            server.metric("sconce_kv_blocks_referenced").await == 0.0
        })
        .await;
}

/// Kills every second of the running streams midway.
async fn half_leave(server: &Server, prompts: &[String], solo: &[Answer]) {
    let begin = async |prompt: &String| {
        let mut stream = server.stream(prompt, TOKENS_MAX).await;
        let text = stream.piece().await;
        (stream, text)
    };
    let begun: Vec<(Stream, String)> = join_all(prompts.iter().map(begin)).await;
    assert_eq!(
        server.metric("vllm:num_requests_running").await,
        CLIENTS as f64
    );
    let blocks = server.metric("sconce_kv_blocks_referenced").await;
    let (mut staying, mut leaving) = (Vec::new(), Vec::new());
    for (index, stream) in begun.into_iter().enumerate() {
        if index % 2 == 0 {
            staying.push((stream, &solo[index]));
        } else {
            leaving.push(stream);
        }
    }
    let steps = server.metric(STEPS).await;
    let left = Instant::now();
    drop(leaving);
    while server.metric("vllm:num_requests_running").await > CLIENTS as f64 / 2.0 {
        assert!(
            left.elapsed() < Duration::from_secs(2),
            "leavers are still being served"
        );
    }
    let gone = left.elapsed();
    let blocks_left = server.metric("sconce_kv_blocks_referenced").await;
    let steps = server.metric(STEPS).await - steps;
    println!(
        "16 of 32 left: after {gone:?} and {steps} steps {blocks_left} of {blocks} blocks are referenced"
    );
    assert!(
        gone < GONE_MAX || steps <= GONE_STEPS_MAX,
        "leavers were served for {gone:?} and {steps} steps"
    );
    // What each wrote last was in a block of its own.
    assert!(blocks_left <= blocks - CLIENTS as f64 / 2.0);
    let finish = async |((stream, mut text), solo): ((Stream, String), &Answer)| {
        text.push_str(&stream.finish().await.text);
        assert_eq!(text, solo.text, "a client that stayed was disturbed");
    };
    join_all(staying.into_iter().map(finish)).await;
}
