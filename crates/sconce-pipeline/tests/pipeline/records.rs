//! Every request leaves one record, and no record holds what was said.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::stage::{Sizes, Stage, eventually, open};
use futures_util::StreamExt;
use sconce_domain::{Caller, RequestId, TokenId};
use sconce_pipeline::{
    AdmissionLimits, AnswerOptions, AnswerRequest, Ask, AskKind, Edges, Pipeline, Prompt,
};
use serde_json::Value;

/// What is logged in this process. One log for all tests: whether an event is wanted at all is
/// remembered for the whole process, so a listener of one thread's own might never be asked.
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listening() -> &'static Self {
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .json()
                .with_writer(move || writer.clone());
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            log
        })
    }

    /// The records of the requests called `id`.
    fn records(&self, id: u64) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let events = text
            .lines()
            .map(|it| serde_json::from_str::<Value>(it).unwrap());
        let records = events.filter(|it| it["target"] == "sconce::record");
        let fields = records.map(|it| it["fields"].clone());
        fields
            .filter(|it| it["request"] == format!("{id:016x}"))
            .collect()
    }
}

fn secret(id: u64, length: usize) -> AnswerRequest {
    AnswerRequest {
        id: RequestId(id),
        model: None,
        ask: Ask::Completion(vec![Prompt::Text("secret".repeat(length))]),
        options: AnswerOptions {
            user: Some("someone".to_owned()),
            ..AnswerOptions::default()
        },
    }
}

#[tokio::test]
async fn a_finished_a_refused_and_an_abandoned_request_each_leave_one_record() {
    let log = Log::listening();
    let stage = Stage::echo(2);
    let finished = stage.pipeline.answer(secret(0xabc, 1)).await.unwrap();
    finished.collect::<Vec<_>>().await;
    let refused = stage.pipeline.answer(secret(0xabc, 100)).await;
    assert!(refused.is_err());
    let mut abandoned = stage.pipeline.answer(secret(0xabc, 30)).await.unwrap();
    assert!(abandoned.next().await.is_some());
    drop(abandoned);

    let records = log.records(0xabc);
    let ends: Vec<&str> = records
        .iter()
        .map(|it| it["end"].as_str().unwrap())
        .collect();
    assert_eq!(ends, ["stop", "refused", "abort"]);
    let [finished, refused, abandoned] = &records[..] else {
        panic!("three requests were made")
    };
    assert_eq!(finished["request"], "0000000000000abc");
    assert_eq!(
        (&finished["model"], &finished["user"], &finished["kind"]),
        (&"tiny".into(), &"someone".into(), &"completion".into())
    );
    assert_eq!(
        (&finished["prompt_tokens"], &finished["completion_tokens"]),
        (&6.into(), &6.into())
    );
    assert!(finished["ttft_ms"].as_u64().unwrap() <= finished["total_ms"].as_u64().unwrap());
    assert_eq!(refused["refusal"], "prompt_too_long");
    assert_eq!(abandoned["prompt_tokens"], 180);
    assert!(abandoned["completion_tokens"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn a_request_that_is_never_read_leaves_a_record() {
    let log = Log::listening();
    let stage = Stage::echo(0);
    let unreadable = stage
        .pipeline
        .arrive(RequestId(0xbad), AskKind::Chat, Caller::anybody());
    unreadable.turned_away("invalid_json").await;
    drop(
        stage
            .pipeline
            .arrive(RequestId(0xbad), AskKind::Completion, Caller::anybody()),
    );
    let facts: Vec<[Value; 3]> = log
        .records(0xbad)
        .iter()
        .map(|it| ["kind", "end", "refusal"].map(|name| it[name].clone()))
        .collect();
    assert_eq!(
        facts,
        [
            ["chat".into(), "refused".into(), "invalid_json".into()],
            ["completion".into(), "abort".into(), Value::Null],
        ]
    );
}

#[tokio::test]
async fn a_text_that_becomes_tokens_leaves_a_record_and_is_counted() {
    let log = Log::listening();
    let Stage { pipeline, .. } = &Stage::echo(0);
    let id = RequestId(0x70c);
    let arrive = |kind| pipeline.arrive(id, kind, Caller::anybody());
    let text = "secret".to_owned();
    let tokenized = pipeline.tokenize(arrive(AskKind::Tokenize), None, text, Edges::None);
    let tokens = tokenized.await.unwrap().tokens;
    let text = pipeline.detokenize(arrive(AskKind::Detokenize), Some("tiny"), tokens);
    assert_eq!(text.await.unwrap(), "secret");
    let unknown = vec![TokenId(999)];
    let refused = pipeline.detokenize(arrive(AskKind::Detokenize), None, unknown);
    assert!(refused.await.is_err());
    let facts: Vec<[Value; 4]> = log
        .records(id.0)
        .iter()
        .map(|it| ["kind", "model", "end", "prompt_tokens"].map(|name| it[name].clone()))
        .collect();
    let fact = |kind: &str, end: &str, tokens: u32| -> [Value; 4] {
        [kind.into(), "tiny".into(), end.into(), tokens.into()]
    };
    let expected = [
        fact("tokenize", "stop", 6),
        fact("detokenize", "stop", 6),
        fact("detokenize", "refused", 0),
    ];
    assert_eq!(facts, expected);
    let metrics = pipeline.metrics().text();
    for line in [
        "sconce_requests_total{end=\"stop\",kind=\"tokenize\"} 1",
        "sconce_requests_total{end=\"stop\",kind=\"detokenize\"} 1",
        "sconce_requests_total{end=\"refused\",kind=\"detokenize\"} 1",
        "sconce_requests_refused_total{reason=\"unknown_token\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

/// The one thread that makes prompts is kept busy, so that the request cannot be further on when it
/// is left.
#[test]
fn a_request_that_is_left_while_its_prompt_is_made_leaves_a_record() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(leave_while_the_prompt_is_made());
}

async fn leave_while_the_prompt_is_made() {
    let log = Log::listening();
    let limits = AdmissionLimits {
        running_max: 2,
        queue_max: 2,
        wait_max: None,
    };
    let pipeline = Pipeline::new(limits);
    let _engine = open(
        &pipeline,
        crate::stage::Echo {
            step: Duration::ZERO,
        },
        Sizes::default(),
    );
    let (free, is_freed) = std::sync::mpsc::channel::<()>();
    let busy = tokio::task::spawn_blocking(move || is_freed.recv());
    let mut unfinished = Box::pin(pipeline.answer(secret(0xdef, 1)));
    let polled = unfinished
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "the prompt is made on another thread");
    assert!(log.records(0xdef).is_empty(), "it has not ended");
    assert_eq!(pipeline.answers_open(), 1);
    drop(unfinished);
    assert_eq!(log.records(0xdef).len(), 1);
    assert_eq!(log.records(0xdef)[0]["end"], "abort");
    free.send(()).unwrap();
    busy.await.unwrap().unwrap();
    eventually("the place is given back", || pipeline.answers_open() == 0).await;
}
