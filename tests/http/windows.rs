//! A model with windows serves sequences longer than its KV cache has tokens.

use std::process::Command;

use sconce_model::tiny::TinyCheckpoint;
use serde_json::{Value, json};

use crate::server::{COMPLETIONS, PROGRAM, Server};

/// Two layers of four look back over 16 positions. A step of 16 adds a block, and what begins within a
/// block another: such a layer's blocks are three, however long the sequence is.
const SERVE: [&str; 6] = [
    "--kv-tokens",
    "256",
    "--step-tokens-max",
    "16",
    "--running-max",
    "4",
];
/// Those of 256 tokens, for each of two groups of layers.
const BLOCKS: u32 = 2 * 256 / 16;
/// All but three hold what the other layers keep; the last token of an answer is never kept.
const CONTEXT: u32 = (BLOCKS - 3) * 16 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_windows_serves_more_than_its_cache_has_tokens_and_accounts_for_each_block() {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    let checkpoint = TinyCheckpoint::with_window("gemma2", 4, 16);
    checkpoint.write(file.path()).unwrap();
    let path = file.path().to_str().unwrap();
    let server = Server::start(&[&["--model", path][..], &SERVE].concat()).await;
    let models: Value = server.get("/v1/models").await.json().await.unwrap();
    assert_eq!(models["data"][0]["max_model_len"], CONTEXT);

    let request = |prompt_tokens: u32| {
        let prompt: Vec<u32> = (0..prompt_tokens).map(|it| it * 37 % 251 + 4).collect();
        json!({
            "prompt": prompt,
            "max_tokens": CONTEXT - 300,
            "ignore_eos": true,
            "temperature": 0,
            "logprobs": 2,
        })
    };
    let first = server.whole(COMPLETIONS, &request(300)).await;
    assert_eq!(first["usage"]["total_tokens"], CONTEXT);
    let too_long = request(CONTEXT + 1).to_string();
    assert_eq!(server.post(COMPLETIONS, too_long).await.status(), 400);
    // All of its prompt's blocks but what its end sees have been given back, and it is the same again.
    let again = server.whole(COMPLETIONS, &request(300)).await;
    assert_eq!(again["choices"], first["choices"]);

    let released = server.metric("sconce_kv_window_releases_total").await;
    let of_each = (CONTEXT - 1) / 16 - 1;
    assert!(released >= f64::from(of_each), "{released} of {of_each}");
    let count = async |state: &str| server.metric(&format!("sconce_kv_blocks_{state}")).await;
    let states = [count("referenced").await, count("cached").await];
    assert_eq!(states[0], 0.0);
    assert_eq!(states[1] + count("free").await, f64::from(BLOCKS));
    assert_eq!(count("total").await, f64::from(BLOCKS));
    check_doctor(&server.url).await;
}

/// It finds every block, too.
async fn check_doctor(url: &str) {
    let arguments = ["doctor", "--json", "--url", url].map(str::to_owned);
    let told = tokio::task::spawn_blocking(|| Command::new(PROGRAM).args(arguments).output());
    let told = told.await.unwrap().unwrap();
    assert!(told.status.success(), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let model = &told["server"]["models"][0];
    assert_eq!(model["kv_blocks_total"], BLOCKS, "{told}");
    let found = ["kv_blocks_used", "kv_blocks_cached", "kv_blocks_free"];
    let found = found.map(|it| model[it].as_u64().unwrap());
    assert_eq!(found.iter().sum::<u64>(), u64::from(BLOCKS));
}
