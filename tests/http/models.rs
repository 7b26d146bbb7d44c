//! Two real models in one process, in memory for one and a half.

use serde_json::{Value, json};

use crate::server::{COMPLETIONS, Server};

const SMALL: &str = "smollm2-135m-instruct";
const LARGE: &str = "qwen2.5-coder-0.5b-instruct";

/// The value of a metric of one model.
async fn metric_of(server: &Server, name: &str, model: &str) -> f64 {
    let text = server.get("/metrics").await.text().await.unwrap();
    let label = format!("model_name=\"{model}\"");
    let mut lines = text.lines();
    let line = lines.find(|it| it.starts_with(name) && it.contains(&label));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

async fn status_of(server: &Server, model: &str) -> Value {
    let told = server.get(&format!("/v1/models/{model}")).await;
    let mut told: Value = told.json().await.unwrap();
    told["status"]["value"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_makes_room_gives_its_memory_back_and_is_there_when_it_is_asked_for() {
    let arguments = [
        SMALL,
        LARGE,
        "--load-on-demand",
        "--kv-tokens",
        "4096",
        "--memory-max",
        "600MB",
        "--alias",
        "coder=qwen2.5-coder-0.5b-instruct",
    ];
    let server = Server::start(&arguments).await;
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

    let third = ask("default", "The capital of France is").await;
    assert_eq!(third["choices"][0]["text"], first["choices"][0]["text"]);
    let small_again = server.resident_bytes();
    assert_eq!(status_of(&server, LARGE).await, "unloaded");
    println!(
        "resident: {:.0} MB empty, {:.0} MB with the small one, {:.0} MB with it after the large one",
        empty / 1e6,
        small / 1e6,
        small_again / 1e6
    );
    // What is left of the large model is a tenth of it at most: crumbs that the allocator keeps.
    assert!(small_again - small < large_bytes / 10.0);
}
