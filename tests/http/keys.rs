//! Keys as people make and use them: on the command line, in a file, at a running server.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::server::{COMPLETIONS, PROGRAM, Server};

async fn run(arguments: Vec<String>) -> Output {
    let run = move || Command::new(PROGRAM).args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|it| (*it).to_owned()).collect()
}

/// Makes a key and returns what was shown of it.
async fn key(file: &Path, name: &str) -> String {
    key_with(file, name, &[]).await
}

async fn key_with(file: &Path, name: &str, options: &[&str]) -> String {
    let file = file.to_str().unwrap();
    let made = words(&[&["keys", "add", name, "--keys", file], options].concat());
    let made = run(made).await;
    assert!(made.status.success(), "{made:?}");
    let shown = String::from_utf8(made.stdout).unwrap();
    shown.lines().next().unwrap().to_owned()
}

async fn chat(server: &Server, key: Option<&str>) -> Result<(), String> {
    let mut arguments = words(&["chat", "--url", &server.url, "--max-tokens", "2"]);
    arguments.extend(words(&["--message", "Say hello."]));
    arguments.extend(key.into_iter().flat_map(|it| words(&["--key", it])));
    let said = run(arguments).await;
    if said.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(said.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_keys_lets_in_who_has_one_and_reads_them_again_at_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let first = key(&file, "first").await;
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(&first) && kept.contains("sha256"), "{kept}");
    let again = run(words(&[
        "keys",
        "add",
        "first",
        "--keys",
        file.to_str().unwrap(),
    ]))
    .await;
    let complaint = String::from_utf8(again.stderr).unwrap();
    assert!(
        complaint.contains("two keys are named `first`"),
        "{complaint}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);

    let state = folder.path().join("state");
    let server = Server::start(&[
        "--keys",
        file.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ])
    .await;
    chat(&server, Some(&first)).await.unwrap();
    let missing = chat(&server, None).await.unwrap_err();
    assert!(missing.contains("asks for a key"), "{missing}");
    let wrong = chat(&server, Some("sconce-0")).await.unwrap_err();
    assert!(wrong.contains("not one of this server's"), "{wrong}");

    let second = key(&file, "second").await;
    assert!(chat(&server, Some(&second)).await.is_err());
    server.signal("HUP");
    server
        .until("the second key is known", 10, async || {
            chat(&server, Some(&second)).await.is_ok()
        })
        .await;
    chat(&server, Some(&first)).await.unwrap();

    // A file with a fault changes nothing.
    std::fs::write(&file, "[[key]]\nname = 1").unwrap();
    server.signal("HUP");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    chat(&server, Some(&second)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_outlives_a_server_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let budget = ["--budget-tokens-day", "100", "--models", "default,smollm2"];
    let secret = key_with(&file, "web", &budget).await;
    let (file, state) = (file.to_str().unwrap(), folder.path().join("state"));
    let arguments = ["--keys", file, "--state-dir", state.to_str().unwrap()];
    let ask = async |server: &Server| {
        let body = json!({"prompt": "The sky is", "max_tokens": 40, "ignore_eos": true});
        let reply = server.post_as(&secret, COMPLETIONS, &body).await;
        let left = reply.headers().get("x-ratelimit-remaining-tokens");
        let left = left.unwrap().to_str().unwrap().to_owned();
        (reply.status().as_u16(), left, reply.text().await.unwrap())
    };

    let server = Server::start(&arguments).await;
    let (status, _, body) = ask(&server).await;
    assert_eq!(status, 200, "{body}");
    let (status, left, body) = ask(&server).await;
    assert_eq!(status, 200, "{body}");
    // Dropping a server kills it without a word.
    drop(server);

    let server = Server::start(&arguments).await;
    let (status, still_left, body) = ask(&server).await;
    assert_eq!(status, 429, "{body}");
    assert_eq!(still_left, left);
    assert!(
        body.contains("insufficient_quota") && body.contains("100 tokens a day"),
        "{body}"
    );
    let listed = run(words(&[&["keys", "list"], &arguments[..]].concat())).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    let used = 100 - left.parse::<u32>().unwrap();
    let told = format!("web  tenant web, does not expire; {used} of 100 tokens today");
    assert!(listed.contains(&told), "{listed}");

    // What cannot be kept may not have a budget.
    let other = ["--keys", file, "--state-dir", state.to_str().unwrap()];
    let other = [&["serve", "--listen", "127.0.0.1:0"], &other[..]].concat();
    let refused = run(words(&other)).await;
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(
        told.contains("another server") && told.contains("have budgets"),
        "{told}"
    );
}
