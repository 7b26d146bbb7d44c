//! The default encoder beside the default model, asked by the official client and by hand.

use std::path::Path;
use std::process::Command;

use sconce_tests::python_with;
use serde_json::{Value, json};

use crate::server::{CHAT, Server};

/// The release that the test was written with.
const CLIENT: &str = "openai==3.57.0";
/// LangChain's acceptance tests, and the client that they are run with.
const LANGCHAIN: &str = "langchain-tests==1.1.9 langchain-openai==1.7.4";
const SERVED: [&str; 2] = ["--embeddings", "minilm"];

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_gets_vectors_in_either_format() {
    let python = match python_with(CLIENT) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {CLIENT} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&SERVED).await;
    let url = format!("{}/v1", server.url);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("http/embeddings_client.py");
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python).arg(script).arg(url).output().unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaint}");
    assert!(told.contains("all vectors came as expected"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_accepts_the_server_as_a_provider_of_embeddings() {
    let python = match python_with(LANGCHAIN) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {LANGCHAIN} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&["minilm"]).await;
    let url = format!("{}/v1", server.url);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("http/langchain_embeddings.py");
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .args(["-B", "-m", "pytest", "-q", "--asyncio-mode=auto"])
            .args(["-p", "no:cacheprovider", "--rootdir"])
            .arg(folder.path())
            .arg(script)
            .env("SCONCE_TEST_URL", url)
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("5 passed") && !told.contains("skipped"),
        "{told}"
    );
}

#[tokio::test]
async fn a_real_encoder_ranks_documents_and_keeps_to_its_own_endpoints() {
    let server = Server::start(&SERVED).await;
    let request = json!({
        "query": "How many people live in Berlin?",
        "documents": [
            "Berlin is well known for its museums.",
            "Berlin had a population of 3,520,031 registered inhabitants in 2016.",
            "Bread is baked from flour, water and salt.",
        ],
        "top_n": 2,
    });
    let ranked = server.whole("/v1/rerank", &request).await;
    let order: Vec<&Value> = ranked["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["index"])
        .collect();
    assert_eq!(order, [1, 0]);
    let chat = json!({"model": "minilm", "messages": [{"role": "user", "content": "Hello"}]});
    let refused = server.post(CHAT, chat.to_string()).await;
    assert_eq!(refused.status(), 400);
    let told: Value = refused.json().await.unwrap();
    assert_eq!(told["error"]["code"], "not_a_generator");
    let ready = server.get("/v1/models").await;
    let listed: Value = ready.json().await.unwrap();
    assert_eq!(listed["data"][1]["id"], "all-minilm-l6-v2");
}

#[tokio::test]
async fn a_real_encoder_is_loaded_by_its_first_request_and_counted_to_the_byte() {
    let server = Server::start(&["--load-on-demand", "minilm", "--alias", "vectors=minilm"]).await;
    let model = async || -> Value {
        let told = server.get("/v1/models/vectors").await;
        told.json().await.unwrap()
    };
    assert_eq!(model().await["status"]["value"], "unloaded");
    let empty = server.resident_bytes();
    let request = json!({"model": "vectors", "input": "a red apple"});
    let told = server.whole("/v1/embeddings", &request).await;
    assert_eq!(told["model"], "all-minilm-l6-v2");
    let loaded = server.resident_bytes() - empty;
    let metrics = server.get("/metrics").await.text().await.unwrap();
    let line = "sconce_model_memory_bytes{engine=\"0\",model_name=\"all-minilm-l6-v2\"} ";
    let counted: f64 = metrics
        .lines()
        .find_map(|it| it.strip_prefix(line)?.parse().ok())
        .unwrap();
    println!("counted {counted:.0} bytes, {loaded:.0} more are resident");
    assert!(counted > 40e6 && counted < 100e6, "{counted}");
    assert!(loaded > 0.8 * counted, "{loaded}");
    let chat = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let refused = server.post(CHAT, chat.to_string()).await;
    assert_eq!(refused.status(), 400, "no generator is served here");
    let unload = reqwest::Client::new().post(format!("{}/models/unload", server.url));
    let unload = unload.header("content-type", "application/json");
    let unload = unload.body(json!({"model": "vectors"}).to_string());
    assert!(unload.send().await.unwrap().status().is_success());
    assert_eq!(model().await["status"]["value"], "unloaded");
    let is_gone = async || server.resident_bytes() - empty < counted / 4.0;
    server.until("its memory is given back", 60, is_gone).await;
}
