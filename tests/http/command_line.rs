//! The commands: what they print, how they fail, how the server lets go.

use std::process::{Command, Output};

use crate::server::{PROGRAM, Server};

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must fail and returns what it complains of.
fn complaint(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr)
}

#[test]
fn a_start_that_cannot_succeed_says_what_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = std::fs::read(sconce_tests::model_file("default").unwrap()).unwrap();
    let (cut, other) = (
        write("cut.gguf", &whole[..50_000_000]),
        write("other.gguf", b"not a model"),
    );
    let serve = |model: &str| complaint(&["serve", "--listen", "127.0.0.1:0", "--model", model]);
    let found = serve(&cut);
    assert!(
        found.contains("cut.gguf") && found.contains("48362432 bytes are missing"),
        "{found}"
    );
    assert!(serve(&other).contains("instead of \"GGUF\""));
    assert!(serve("/nowhere/model.gguf").contains("/nowhere/model.gguf"));
    assert!(serve("nobody").contains("smollm2-135m-instruct"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(complaint(&["serve", "--listen", &address]).contains(&address));
    assert!(complaint(&["serve", "--listen", "0.0.0.0:0"]).contains("no keys yet"));
}

#[test]
fn models_and_completions_are_listed() {
    let list = text(&run(&["models", "list"]).stdout);
    assert!(list.contains("smollm2-135m-instruct") && list.contains("qwen2.5-coder-0.5b-instruct"));
    assert!(text(&run(&["completions", "bash"]).stdout).contains("_sconce"));
    let verified = run(&["models", "verify", "smollm2"]);
    assert!(verified.status.success() && text(&verified.stdout).contains("sha256 is right"));
    assert!(complaint(&["models", "verify", "nobody"]).contains("qwen2.5-coder-0.5b-instruct"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_finishes_what_runs_and_the_terminal_client_streams() {
    let mut server = Server::start(&[]).await;
    let url = server.url.clone();
    let chat = tokio::task::spawn_blocking(move || {
        run(&[
            "chat",
            "--url",
            &url,
            "--message",
            "Name two fruits.",
            "--temperature",
            "0",
        ])
    });
    let chat = chat.await.unwrap();
    assert!(
        chat.status.success() && text(&chat.stdout).len() > 10,
        "{chat:?}"
    );
    let prompt = "The history of the bicycle begins";
    let solo = server.stream(prompt, 100).await.rest().await;
    let mut stream = server.stream(prompt, 100).await;
    let mut found = stream.next().await.unwrap();
    let id = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    found.push_str(&stream.rest().await);
    assert_eq!(found, solo);
    assert!(server.ended().await, "the server did not end well");
}
