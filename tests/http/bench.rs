//! `sconce bench`: what it measures comes out in each form.

use std::process::{Command, Output};

use serde_json::Value;

use crate::server::PROGRAM;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("bench").args(arguments).output().unwrap()
}

const SMALL: [&str; 11] = [
    "model",
    "--prompt",
    "24",
    "--decode",
    "1,2",
    "--context",
    "0,16",
    "--decode-tokens",
    "2",
    "--repetitions",
    "2",
];

#[test]
fn a_model_is_measured_and_told_in_json_and_as_a_page() {
    let output = bench(&[&SMALL[..], &["--format", "json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["schema"]["version"], 1);
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    for result in results {
        let rates = &result["tokens_per_s"];
        let rate = |name: &str| rates[name].as_f64().unwrap();
        assert!(
            rate("low") > 0.0 && rate("low") <= rate("median"),
            "{result}"
        );
        assert!(rate("median") <= rate("high"), "{result}");
        assert_eq!(rates["samples"].as_array().unwrap().len(), 2);
        let share = |name: &str| result[name].as_f64().unwrap();
        assert!(share("share_of_read_bandwidth") > 0.0, "{result}");
        assert!(
            (0.0..1.5).contains(&share("share_of_int8_peak")),
            "{result}"
        );
    }
    // A token alone needs at least every weight, in four and eight bits: 96.6 MB of this model.
    let alone = results.iter().find(|it| it["kind"] == "decode").unwrap();
    let bytes = alone["bytes_per_token"].as_f64().unwrap();
    assert!((90e6..120e6).contains(&bytes), "{bytes}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let page = ["--format", "html", "--output", path.to_str().unwrap()];
    assert!(bench(&[&SMALL[..], &page].concat()).status.success());
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<polyline"));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_measured() {
    let refused = |arguments: &[&str]| {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["model", "--context", "9000"]);
    assert!(told.contains("positions"), "{told}");
    assert!(refused(&["model", "--decode", "0"]).contains("size of a batch"));
    assert!(refused(&["model", "--decode", "100000000"]).contains("--decode"));
    assert!(refused(&["model", "--model", "minilm"]).contains("encoder"));
}
