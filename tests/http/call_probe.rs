//! A program that probes servers for how they call functions, against a real model.
//!
//! Most of its checks ask whether the model calls when it should, which a small one does not. All
//! others pass: those listed here, and of those that fail nothing but that is complained of.

use std::path::Path;
use std::process::Command;

use sconce_tests::python_with;
use serde_json::Value;

use crate::server::Server;

/// The release whose scenarios are listed.
const PROBE: &str = "canitoolcall==0.1.1";
/// The scenarios. Each is compared whole and streamed, and that always passes.
const SCENARIOS: &[&str] = &[
    "single-call",
    "parallel-calls",
    "no-call",
    "nested-args",
    "unicode-args",
    "empty-args",
    "forced-tool-choice",
    "tool-result-followup",
    "reasoning-then-call",
];
/// Those in which a model has to know that it should call.
const NEED_WIT: &[&str] = &[
    "single-call",
    "parallel-calls",
    "nested-args",
    "unicode-args",
    "empty-args",
    "reasoning-then-call",
];
/// How a complaint begins that the model did not call.
const NO_CALL: &str = "expected at least ";

#[tokio::test(flavor = "multi_thread")]
async fn every_check_of_the_probe_passes_that_asks_no_wit_of_the_model() {
    let python = match python_with(PROBE) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {PROBE} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&[]).await;
    let url = server.url.clone();
    let outcomes = tokio::task::spawn_blocking(move || probe(&python, &url)).await;
    let outcomes = outcomes.unwrap();
    let mut compared: Vec<&str> = Vec::new();
    for outcome in &outcomes {
        let (status, scenario) = (&outcome["status"], outcome["scenario_id"].as_str().unwrap());
        let detail = outcome["detail"].as_str().unwrap_or_default();
        println!("{scenario} {} {status} {detail}", outcome["check"]);
        if outcome["check"] == "stream_equals_nonstream" {
            compared.push(scenario);
            assert_eq!(status, "pass", "{outcome}");
        } else {
            let lacks_wit = NEED_WIT.contains(&scenario)
                && detail.starts_with(NO_CALL)
                && !detail.contains(';');
            assert!(status == "pass" || lacks_wit, "{outcome}");
        }
    }
    assert_eq!(compared, SCENARIOS);
    assert_eq!(outcomes.len(), 3 * SCENARIOS.len());
}

/// Runs the probe; what came of each check.
fn probe(python: &Path, url: &str) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("http/call_probe.py");
    let mut command = Command::new(python);
    let output = command
        .arg(script)
        .arg(format!("{url}/v1"))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let told = String::from_utf8_lossy(&output.stdout);
    let read = |it: &str| serde_json::from_str(it).unwrap();
    told.lines().map(read).collect()
}
