//! The commands: what they print and how they fail.

use std::process::{Command, Output};

use serde_json::json;

use crate::server::{CHAT, PROGRAM, Server};

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
    assert!(complaint(&["serve", "--listen", "0.0.0.0:0"]).contains("sconce keys add"));
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
async fn the_terminal_client_streams_and_says_when_there_is_no_server() {
    let server = Server::start(&[]).await;
    let url = server.url.clone();
    let chat = async |more: &[&str]| {
        let words = [
            "chat",
            "--url",
            &url,
            "--temperature",
            "0",
            "--max-tokens",
            "24",
        ];
        let words: Vec<String> = words
            .iter()
            .chain(more)
            .map(|it| (*it).to_owned())
            .collect();
        let run = move || Command::new(PROGRAM).args(words).output().unwrap();
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let question = "Name two fruits.";
    let request = json!({
        "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 24,
    });
    let answer = server.whole(CHAT, &request).await;
    let said = chat(&["--message", question]).await;
    assert!(said.status.success(), "{said:?}");
    let expected = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text(&said.stdout), format!("{expected}\n"));
    let refused = chat(&["--message", question, "--model", "nobody"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("the model `nobody` is not served"),
        "{refused:?}"
    );
    drop(server);
    let alone = chat(&["--message", question]).await;
    assert_eq!(alone.status.code(), Some(1));
    assert!(text(&alone.stderr).contains("sconce serve"), "{alone:?}");
}
