//! Two real models in one process, in memory for one and a half.

use serde_json::{Value, json};

use crate::server::{COMPLETIONS, Server};

const SMALL: &str = "smollm2-135m-instruct";
const LARGE: &str = "qwen2.5-coder-0.5b-instruct";

/// Both do not fit together.
const ARGUMENTS: [&str; 11] = [
    SMALL,
    LARGE,
    "--load-on-demand",
    "--kv-tokens",
    "4096",
    "--memory-max",
    "600MB",
    "--alias",
    "coder=qwen2.5-coder-0.5b-instruct",
    "--limit",
    "coder:kv-tokens=2048",
];

/// The value of a metric of one model.
async fn metric_of(server: &Server, name: &str, model: &str) -> f64 {
    let text = server.get("/metrics").await.text().await.unwrap();
    let label = format!("model_name=\"{model}\"");
    let mut lines = text.lines();
    let line = lines.find(|it| it.starts_with(name) && it.contains(&label));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

async fn context_of(server: &Server, model: &str) -> Value {
    let told = server.get(&format!("/v1/models/{model}")).await;
    let mut told: Value = told.json().await.unwrap();
    told["max_model_len"].take()
}

async fn status_of(server: &Server, model: &str) -> Value {
    let told = server.get(&format!("/v1/models/{model}")).await;
    let mut told: Value = told.json().await.unwrap();
    told["status"]["value"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_makes_room_gives_its_memory_back_and_is_there_when_it_is_asked_for() {
    let server = Server::start(&ARGUMENTS).await;
    let empty = server.resident_bytes();
    let ask = async |model: &str, prompt: &str| {
        let request = json!({"model": model, "prompt": prompt, "max_tokens": 6, "temperature": 0});
        server.whole(COMPLETIONS, &request).await
    };
    let first = ask("default", "The capital of France is").await;
    assert!(
        first["choices"][0]["text"]
            .as_str()
            .unwrap()
            .contains("Paris")
    );
    assert_eq!(first["model"], SMALL);
    let small = server.resident_bytes();
    let counted = metric_of(&server, "sconce_model_memory_bytes", SMALL).await;
    println!("the small one counts for {counted:.0} bytes");

    let second = ask("coder", "def add(a, b):\n    return").await;
    assert_eq!(second["model"], LARGE);
    assert_eq!(
        status_of(&server, SMALL).await,
        "unloaded",
        "both do not fit"
    );
    assert_eq!(
        metric_of(&server, "sconce_model_memory_bytes", SMALL).await,
        0.0
    );
    let large_bytes = metric_of(&server, "sconce_model_memory_bytes", LARGE).await;
    assert!(large_bytes > 450e6 && large_bytes < 600e6, "{large_bytes}");

    // A model's context is what its own cache holds, loaded or not.
    assert_eq!(context_of(&server, SMALL).await, 4097);
    assert_eq!(context_of(&server, "coder").await, 2049);

    let third = ask("default", "The capital of France is").await;
    assert_eq!(third["choices"][0]["text"], first["choices"][0]["text"]);
    assert_eq!(status_of(&server, LARGE).await, "unloaded");
    let unload = reqwest::Client::new().post(format!("{}/models/unload", server.url));
    let unload = unload.header("content-type", "application/json");
    let told = unload
        .body(json!({"model": SMALL}).to_string())
        .send()
        .await;
    assert!(told.unwrap().status().is_success());
    // What is left of both is a tenth of the large one at most: crumbs that the allocator keeps. A
    // thread that prepares grammars may hold a vocabulary for some seconds more.
    let is_gone = async || server.resident_bytes() - empty < large_bytes / 10.0;
    server.until("all memory is given back", 60, is_gone).await;
    println!(
        "resident: {:.0} MB empty, {:.0} MB with the small one, {:.0} MB after both",
        empty / 1e6,
        small / 1e6,
        server.resident_bytes() / 1e6
    );
}
