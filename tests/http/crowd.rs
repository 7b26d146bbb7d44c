//! Many clients at once: each gets what it gets alone, and who leaves gives everything back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::server::{Server, Stream};

const CLIENTS: usize = 32;
const TOKENS: u32 = 48;

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

async fn alone(server: &Server, prompts: &[String]) -> Vec<String> {
    let mut texts = Vec::new();
    for prompt in prompts {
        texts.push(server.stream(prompt, TOKENS).await.rest().await);
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_clients_gets_what_each_gets_alone_and_leavers_give_their_blocks_back() {
    let server = Server::start(&[]).await;
    let prompts = prompts();
    let begun = Instant::now();
    let solo = alone(&server, &prompts).await;
    let solo_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let one = async |prompt: &String| server.stream(prompt, TOKENS).await.rest().await;
    let together = join_all(prompts.iter().map(one)).await;
    let together_s = begun.elapsed().as_secs_f64();
    assert_eq!(together, solo);
    println!("{CLIENTS} answers: {solo_s:.2} s one by one, {together_s:.2} s together");
    assert!(
        together_s * 1.3 < solo_s,
        "the batch is hardly faster than one by one"
    );
    half_leave(&server, &prompts, &solo).await;
    check_memory(&server);
}

/// Kills every second of 32 running streams midway.
async fn half_leave(server: &Server, prompts: &[String], solo: &[String]) {
    let begin = async |prompt: &String| {
        let mut stream = server.stream(prompt, 600).await;
        let first = stream.next().await.unwrap();
        (stream, first)
    };
    let begun: Vec<(Stream, String)> = join_all(prompts.iter().map(begin)).await;
    assert_eq!(
        server.metric("vllm:num_requests_running").await,
        CLIENTS as f64
    );
    let (mut staying, mut leaving) = (Vec::new(), Vec::new());
    for (index, stream) in begun.into_iter().enumerate() {
        if index % 2 == 0 {
            staying.push((index, stream))
        } else {
            leaving.push(stream)
        }
    }
    drop(leaving);
    let left = Instant::now();
    while server.metric("vllm:num_requests_running").await > CLIENTS as f64 / 2.0 {
        // Four times the bound, since the test shares its processors with the server.
        assert!(
            left.elapsed() < Duration::from_millis(400),
            "leavers are still being served"
        );
    }
    println!(
        "16 of 32 left: gone from the gauge after {} ms",
        left.elapsed().as_millis()
    );
    let finish = async |(index, (mut stream, first)): (usize, (Stream, String))| {
        // A character that the shorter answer cut in half is whole in the longer one.
        let solo = solo[index].trim_end_matches('\u{fffd}');
        let mut text = first;
        while text.len() < solo.len() {
            let Some(piece) = stream.next().await else {
                break;
            };
            text.push_str(&piece);
        }
        assert!(text.starts_with(solo), "client {index} was disturbed");
    };
    join_all(staying.into_iter().map(finish)).await;
    let left = Instant::now();
    while server.metric("sconce_kv_blocks_referenced").await > 0.0 {
        assert!(
            left.elapsed() < Duration::from_secs(2),
            "blocks are still held by nobody"
        );
    }
}

/// Weights once, the tokenizer and the program: at most 1.6 times the file, plus the cache set.
fn check_memory(server: &Server) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status
        .lines()
        .find_map(|it| it.strip_prefix("VmRSS:"))
        .unwrap();
    let resident: f64 = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0;
    let (file, cache) = (98_362_432.0, 32_768.0 * 23_040.0);
    println!(
        "resident: {:.0} MB of {:.0} MB",
        resident / 1e6,
        (1.6 * file + cache) / 1e6
    );
    assert!(resident < 1.6 * file + cache);
}
