//! The official Python client of OpenAI's API.

use std::path::Path;
use std::process::Command;

use sconce_tests::python_with;

use crate::server::Server;

/// The release that the test was written with.
const CLIENT: &str = "openai==3.57.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_is_served() {
    let python = match python_with(CLIENT) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {CLIENT} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&[]).await;
    let url = format!("{}/v1", server.url);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("http/openai_client.py");
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
