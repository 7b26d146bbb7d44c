//! The official Python clients of the APIs that the server speaks, each calling it as programs do.

use std::path::Path;
use std::process::Command;

use sconce_tests::python_with;

use crate::server::Server;

/// Runs `script` with `client`, the release that it was written with, against a server.
async fn check(client: &str, script: &str, arguments: &[&str], base: &str) {
    let python = match python_with(client) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {client} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(arguments).await;
    let url = format!("{}{base}", server.url);
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("http")
        .join(script);
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python).arg(script).arg(url).output().unwrap()
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains("all calls answered as expected"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_is_served() {
    check("openai==3.57.0", "openai_client.py", &[], "/v1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_s_official_client_is_served() {
    check("anthropic==2.14.0", "anthropic_client.py", &[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_s_official_client_is_served() {
    let served = ["--embeddings", "minilm"];
    check("ollama==0.6.3", "ollama_client.py", &served, "").await;
}
