//! lm-eval scores LAMBADA through HTTP as we do in this process, to the last case.
//!
//! The texts may not be shipped: without `../shared` beside the workspace nothing is compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sconce_domain::TokenId;
use sconce_model::{
    Batch, BatchChunk, BlockTable, Decoder, DecoderSettings, GgufFile, Isa, KvType, LogitRows,
    spec_for, vocabulary_of,
};
use sconce_tests::{model_file, python_with};
use sconce_text::{Specials, Tokenizer};
use serde_json::Value;

use crate::server::Server;

/// The release that the test was written with; the part of it that speaks to servers.
const LM_EVAL: &str = "lm_eval[api]==0.4.13";
/// Positions that a text of the set never reaches.
const CONTEXT: usize = 1024;

/// The task, as lm-eval's own LAMBADA has it: how likely is the last word, and is it the likeliest?
const TASK: &str = r#"task: lambada_of_a_file
dataset_path: json
dataset_kwargs:
  data_files:
    test: FILE
test_split: test
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"#;

/// What is found out about one text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Verdict {
    /// The logarithm of the last word's probability.
    logprob: f64,
    /// Whether each of its tokens is the likeliest at its place.
    is_greedy: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn lm_eval_scores_twenty_texts_as_we_do_in_this_process() {
    compare(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some minutes; run it after changing what is scored or how it is told"]
async fn lm_eval_scores_five_hundred_texts_as_we_do_in_this_process() {
    compare(500).await;
}

async fn compare(count: usize) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(file) = workspace
        .join("../shared/data/load/lambada_500.jsonl")
        .canonicalize()
    else {
        println!("skipped: no ../shared/data/load/lambada_500.jsonl beside the workspace");
        return;
    };
    let python = match python_with(LM_EVAL) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {LM_EVAL} cannot be installed: {reason}");
            return;
        }
    };
    let server = Server::start(&[]).await;
    let url = server.url.clone();
    let run = tokio::task::spawn_blocking(move || {
        let told = ask_lm_eval(&python, &url, &file, count);
        (told, score_here(&file, count))
    });
    let (told, found) = run.await.unwrap();
    assert_eq!((told.len(), found.len()), (count, count));
    let mut distance: f64 = 0.0;
    for (index, (told, found)) in told.iter().zip(&found).enumerate() {
        assert_eq!(told.is_greedy, found.is_greedy, "text {index}");
        distance = distance.max((told.logprob - found.logprob).abs());
    }
    assert!(distance < 1e-4, "a logarithm is off by {distance}");
    let right = told.iter().filter(|it| it.is_greedy).count();
    assert!(
        right > 0 && right < count,
        "{right} of {count} last words are likeliest"
    );
    println!("LAMBADA: {right} of {count} last words likeliest, logarithms within {distance:.1e}");
}

/// Runs lm-eval against the server; its verdicts in the order of the texts.
fn ask_lm_eval(python: &Path, url: &str, file: &Path, count: usize) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let task = TASK.replace("FILE", file.to_str().unwrap());
    fs::write(folder.path().join("task.yaml"), task).unwrap();
    let model = format!("base_url={url}/v1/completions,model=default,num_concurrent=4");
    let output = Command::new(python)
        .args(["-m", "lm_eval", "--model", "local-completions"])
        .args(["--model_args", &model, "--tasks", "lambada_of_a_file"])
        .args(["--include_path", ".", "--limit", &count.to_string()])
        .args(["--log_samples", "--output_path", "out"])
        .current_dir(folder.path())
        .env("HF_HOME", folder.path())
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_DATASETS_OFFLINE", "1")
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let samples = samples_file(&folder.path().join("out")).expect("lm-eval logs its samples");
    let text = fs::read_to_string(samples).unwrap();
    let mut verdicts: Vec<(u64, Verdict)> = text.lines().map(read_sample).collect();
    verdicts.sort_by_key(|(index, _)| *index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

fn samples_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    let is_samples = |it: &&PathBuf| it.to_string_lossy().ends_with(".jsonl");
    paths
        .iter()
        .find(is_samples)
        .cloned()
        .or_else(|| paths.iter().find_map(|it| samples_file(it)))
}

fn read_sample(line: &str) -> (u64, Verdict) {
    let sample: Value = serde_json::from_str(line).unwrap();
    let verdict = &sample["filtered_resps"][0];
    let number = |it: &Value| it.as_f64().or_else(|| it.as_str()?.parse().ok());
    let flag = |it: &Value| it.as_bool().or_else(|| Some(it.as_str()? == "True"));
    let verdict = Verdict {
        logprob: number(&verdict[0]).unwrap(),
        is_greedy: flag(&verdict[1]).unwrap(),
    };
    (sample["doc_id"].as_u64().unwrap(), verdict)
}

/// The same, with nothing between us and the logits.
fn score_here(file: &Path, count: usize) -> Vec<Verdict> {
    let weights = GgufFile::open(model_file("smollm2-135m-instruct").unwrap()).unwrap();
    let settings = DecoderSettings {
        threads: 2,
        isa: Isa::detect(),
        kv_blocks: CONTEXT / Decoder::BLOCK_TOKENS,
        kv_type: KvType::F16,
    };
    let spec = spec_for(&weights).unwrap();
    let mut decoder = Decoder::load(&weights, spec, settings, &mut |_| {}).unwrap();
    let tokenizer = Tokenizer::new(vocabulary_of(&weights).unwrap()).unwrap();
    let lines = fs::read_to_string(file).unwrap();
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].clone();
    let texts = lines.lines().take(count).map(text);
    texts
        .map(|it| score(&mut decoder, &tokenizer, it.as_str().unwrap()))
        .collect()
}

fn score(decoder: &mut Decoder, tokenizer: &Tokenizer, text: &str) -> Verdict {
    let (context, _) = text.rsplit_once(' ').unwrap();
    let encode = |it: &str| tokenizer.encode(it, Specials::Parsed).unwrap();
    let (tokens, context) = (encode(text), encode(context).len());
    let blocks = (0..(CONTEXT / Decoder::BLOCK_TOKENS) as u32).collect();
    let blocks = [BlockTable::whole(blocks)];
    let chunk = BatchChunk {
        tokens: &tokens,
        start: 0,
        blocks: &blocks,
        logits: LogitRows::All,
    };
    let vocabulary = decoder.spec().vocabulary;
    let logits = decoder.forward(&Batch::new(&[chunk]));
    let rows = logits.chunks_exact(vocabulary).zip(&tokens[1..]);
    let mut verdict = Verdict {
        logprob: 0.0,
        is_greedy: true,
    };
    for (row, TokenId(token)) in rows.skip(context - 1) {
        let logit = row[*token as usize];
        let sum: f64 = row.iter().map(|it| f64::from(*it).exp()).sum();
        verdict.logprob += f64::from(logit) - sum.ln();
        verdict.is_greedy &= row.iter().all(|it| *it <= logit);
    }
    verdict
}
