//! Connections that nobody else can read.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{CERTIFICATE, PROGRAM, Server};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/http/certificate");

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_speaks_in_secret_only_and_exchanges_it_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["localhost.pem", "localhost.key.pem"].map(|name| {
        let file = folder.path().join(name);
        std::fs::copy(format!("{FOLDER}/{name}"), &file).unwrap();
        file
    });
    let (shown, secret) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let server = Server::start(&["--tls-cert", shown, "--tls-key", secret]).await;
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let mut stream = server.stream("The sky is", 3).await;
    assert!(!stream.piece().await.is_empty());

    // Who does not ask for a secret gets no answer, and one who says nothing keeps nobody waiting.
    let address = server.url.strip_prefix("https://").unwrap();
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _closed_or_reset = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let since = Instant::now();
    assert_eq!(server.get("/health").await.status(), 200);
    assert!(since.elapsed() < Duration::from_secs(5));

    // A certificate with a fault changes nothing; a good one is taken up.
    let failed = async || server.metric_alone("sconce_config_reload_failed").await == 1.0;
    std::fs::write(&certificate, "no certificate").unwrap();
    server.signal("HUP");
    server.until("the fault is told", 10, &failed).await;
    std::fs::write(&certificate, CERTIFICATE).unwrap();
    server.signal("HUP");
    server
        .until("the fault is gone", 10, async || !failed().await)
        .await;
    let body = json!({"prompt": "The sky is", "max_tokens": 2});
    server.whole("/v1/completions", &body).await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_anything_starts() {
    let certificate = format!("{FOLDER}/localhost.pem");
    let key = format!("{FOLDER}/localhost.key.pem");
    for (certificate, key, told) in [
        (&key, &key, "there is no certificate"),
        (
            &certificate,
            &certificate,
            "the key is no PEM of a private key",
        ),
        (&"/nowhere.pem".to_owned(), &key, "cannot read /nowhere.pem"),
    ] {
        let arguments = ["serve", "--tls-cert", certificate, "--tls-key", key];
        let refused = Command::new(PROGRAM).args(arguments).output().unwrap();
        let complaint = String::from_utf8(refused.stderr).unwrap();
        assert!(
            !refused.status.success() && complaint.contains(told),
            "{complaint}"
        );
    }
    let alone = Command::new(PROGRAM)
        .args(["serve", "--tls-cert", &certificate])
        .output();
    let complaint = String::from_utf8(alone.unwrap().stderr).unwrap();
    assert!(complaint.contains("--tls-key"), "{complaint}");
}
