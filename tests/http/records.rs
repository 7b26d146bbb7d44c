//! Records as an operator has them: a folder, a server that is killed, a disk that is full.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::server::{CHAT, COMPLETIONS, PROGRAM, Server};

/// What `sconce records` says, and whether it could.
async fn records(words: &[&str], folder: &Path) -> String {
    let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
    let folder = folder.to_owned();
    let run = move || {
        Command::new(PROGRAM)
            .arg("records")
            .args(words)
            .arg("--records-dir")
            .arg(folder)
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Of an answer and a refusal.
async fn check_lists(folder: &Path) {
    let listed = records(&["list", "--since", "1h"], folder).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let refusals = records(&["list", "--outcome", "refused"], folder).await;
    assert!(refusals.contains("refused (invalid_value)"), "{refusals}");
    let nobody = records(&["list", "--tenant", "nobody"], folder).await;
    assert_eq!(nobody, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_shows_exports_and_erases_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let server = Server::start(&["--records-dir", path, "--records", "full"]).await;
    let request = json!({
        "messages": [{"role": "user", "content": "Say the word canary."}],
        "max_tokens": 4, "temperature": 0, "user": "someone"
    });
    let answer = server.post(CHAT, request.to_string()).await;
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let answer: Value = answer.json().await.unwrap();
    let refused = server.post(COMPLETIONS, "{}").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);

    check_lists(folder.path()).await;
    let shown = records(&["show", &id], folder.path()).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["input"]["messages"][0]["content"],
        "Say the word canary."
    );
    assert_eq!(shown["input"]["user"], "someone");
    let prompt = shown["output"]["prompts"][0].as_str().unwrap();
    assert!(
        prompt.contains("<|im_start|>user\nSay the word canary."),
        "{prompt}"
    );
    assert_eq!(
        shown["output"]["answers"][0]["text"],
        answer["choices"][0]["message"]["content"]
    );
    assert!(!journal(folder.path()).contains("canary"));

    let erased = records(&["erase", "--subject", "shared"], folder.path()).await;
    assert!(
        erased.starts_with("1 keys of shared are destroyed"),
        "{erased}"
    );
    let again = server.post(CHAT, request.to_string()).await;
    assert_eq!(again.status(), StatusCode::OK);
    let exported = records(
        &["export", "--model", "smollm2-135m-instruct"],
        folder.path(),
    )
    .await;
    let lines: Vec<Value> = exported
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{exported}");
    assert_eq!(
        (&lines[0]["input"], &lines[0]["output"]),
        (&json!("erased"), &json!("erased"))
    );
    assert!(lines[1]["input"]["messages"].is_array());
    assert!(
        verified(folder.path())
            .await
            .contains("3 requests have ended, 0 are open")
    );
}

/// What `sconce records verify` says of a folder.
async fn verified(folder: &Path) -> String {
    records(&["verify"], folder).await
}

fn short() -> String {
    json!({"prompt": "One, two,", "max_tokens": 3, "temperature": 0}).to_string()
}

/// The text of all files of records.
fn journal(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|it| it.unwrap().path());
    let journals = paths.filter(|it| it.extension().is_some_and(|it| it == "journal"));
    journals
        .map(|it| String::from_utf8_lossy(&std::fs::read(it).unwrap()).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_recorded_every_answer_and_the_next_one_closes_what_was_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut server = Server::start(&["--records-dir", path]).await;
    let mut answered = Vec::new();
    for _ in 0..3 {
        let answer = server.post(COMPLETIONS, short()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answered.push(
            answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    let refused = server.post(COMPLETIONS, "{}").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    answered.push(
        refused.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned(),
    );
    let running = server.stream("1, 2, 3, 4, 5, 6, 7, 8,", 400).await;
    server.signal("KILL");
    assert!(!server.ended().await.success());
    drop(running);
    let text = journal(folder.path());
    for id in &answered {
        assert!(
            text.contains(&format!("{{\"closed\":{{\"id\":\"{id}\"")),
            "{id} in {text}"
        );
    }
    assert!(!text.contains("One, two"), "{text}");
    let told = verified(folder.path()).await;
    assert!(told.contains("4 requests have ended, 1 are open"), "{told}");
    drop(server);
    let server = Server::launch(&["--records-dir", path]).await;
    let told = verified(folder.path()).await;
    assert!(told.contains("5 requests have ended, 0 are open"), "{told}");
    assert!(journal(folder.path()).contains("\"interrupted\""));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_must_record_answers_503_while_its_disk_is_full_and_others_go_on() {
    for required in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let mut arguments = vec!["--records-dir", path];
        if required {
            arguments.push("--records-required");
        }
        // Log lines that find no room must not end a request.
        let log = tempfile::tempfile().unwrap();
        let server = Server::start_logging_to(log.into(), &arguments).await;
        let answer = server.post(COMPLETIONS, short()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        // No file may grow from here on: what a full disk does, to this process alone.
        server.limit_file_bytes(Some(100));
        let answer = server.post(COMPLETIONS, short()).await;
        if required {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["error"]["code"], "record_unavailable");
        } else {
            assert_eq!(answer.status(), StatusCode::OK);
        }
        let failures = server.count("sconce_record_failures_total").await;
        assert!(failures >= 1.0, "{failures}");
        server.limit_file_bytes(None);
        tokio::time::sleep(Duration::from_millis(10)).await;
        let answer = server.post(COMPLETIONS, short()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let told = verified(folder.path()).await;
        assert!(told.contains("2 requests have ended"), "{told}");
    }
}
