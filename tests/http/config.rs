//! The config file, as people write it, check it and have it read again.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::server::{COMPLETIONS, PROGRAM, Server};

fn sconce(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env("SCONCE_STATE", "/nowhere/state")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// What a check says of a file with this text, if it is good, or else why not.
fn checked(file: &Path, content: &str) -> Result<String, String> {
    std::fs::write(file, content).unwrap();
    let output = sconce(&["config", "check", file.to_str().unwrap()]);
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[test]
fn a_check_tells_what_a_start_would_trip_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sconce.toml");
    let good = checked(&file, "model = \"smollm2\"\nthreads = 5000\n").unwrap();
    assert!(
        good.contains("note: threads is 5000") && good.contains("is good"),
        "{good}"
    );
    for (content, told) in [
        (
            "lisen = \"127.0.0.1:80\"",
            "sconce.toml:1:1: there is no setting `lisen`; did you mean `listen`?",
        ),
        ("model = \"no-such-model\"", "no-such-model"),
        ("listen = \"0.0.0.0:80\"", "nothing keeps strangers out"),
        ("keys = \"/nowhere/keys.toml\"", "cannot read the keys"),
        (
            "alias = { fast = \"qwen2.5-coder-0.5b-instruct\" }",
            "not served",
        ),
        ("\nrunning_max = 0", "sconce.toml:2:1: invalid value '0'"),
        ("running_max 3", "sconce.toml:1:"),
    ] {
        let refused = checked(&file, content).unwrap_err();
        assert!(refused.contains(told), "{content}\n{refused}");
    }
    // A server says the same and does not start.
    let refused = sconce(&["serve", "--config", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(text(refused.stderr).contains("sconce.toml:1:"));
}

#[test]
fn what_holds_is_shown_with_its_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sconce.toml");
    std::fs::write(
        &file,
        "queue_max = 5\nhub_token = \"hf-secret\"\nmodel = [\"a\", \"b\"]\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let shown = sconce(&["config", "show", "--config", path, "--running-max", "3"]);
    let shown = text(shown.stdout);
    for line in [
        &format!("queue_max = 5  # {path}:1"),
        &format!("# hub_token is not shown  # {path}:2"),
        &format!("model = [\"a\", \"b\"]  # {path}:3"),
        "running_max = 3  # command line",
        "state_dir = \"/nowhere/state\"  # environment, SCONCE_STATE",
        "listen = \"127.0.0.1:8080\"  # default",
        "load_on_demand = false  # default",
        "# keys is not set",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("hf-secret"), "{shown}");
    // What is shown is a file that says the same.
    std::fs::write(&file, shown.replace("[\"a\", \"b\"]", "\"smollm2\"")).unwrap();
    let again = sconce(&["config", "check", path]);
    assert!(again.status.success(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_is_read_again_and_again_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let [file, keys] = ["sconce.toml", "keys.toml"].map(|it| folder.path().join(it));
    let state = folder.path().join("state");
    let add = |name: &str, options: &[&str]| {
        let made = [
            &["keys", "add", name, "--keys", keys.to_str().unwrap()],
            options,
        ]
        .concat();
        text(sconce(&made).stdout)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let web = add("web", &[]);
    let ops = add("ops", &["--admin"]);
    let content = format!("keys = {keys:?}\nstate_dir = {state:?}\nrunning_max = 8\n");
    std::fs::write(&file, &content).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]).await;
    let failed = async || {
        let metrics = server.get_as(&ops, "/metrics").await.text().await.unwrap();
        metrics.contains("sconce_config_reload_failed 1\n")
    };
    let body = json!({"prompt": "The sky is", "max_tokens": 2});
    let ask = async |key: &str| server.post_as(key, COMPLETIONS, &body).await.status();
    let done = AtomicBool::new(false);
    let asking = async {
        let mut asked = 0;
        while !done.load(Ordering::Relaxed) {
            assert_eq!(ask(&web).await, 200);
            asked += 1;
        }
        asked
    };
    let reloading = async {
        for turn in 0..100 {
            let more = format!("{content}queue_max = {}\n", 10 + turn);
            std::fs::write(&file, more).unwrap();
            server.signal("HUP");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (asked, ()) = tokio::join!(asking, reloading);
    assert!(asked > 10, "{asked}");
    assert!(!failed().await);

    // A file with a fault changes nothing, and the server says that it has one.
    let late = add("late", &[]);
    std::fs::write(&file, "running_maximum = 3\n").unwrap();
    server.signal("HUP");
    server.until("the fault is told", 10, &failed).await;
    assert_eq!(ask(&late).await, 401);
    assert_eq!(ask(&web).await, 200);
    std::fs::write(&file, &content).unwrap();
    server.signal("HUP");
    server
        .until("the fault is gone", 10, async || !failed().await)
        .await;
    assert_eq!(ask(&late).await, 200);
}
