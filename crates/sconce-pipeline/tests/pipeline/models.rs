//! Several models in one process: who is loaded, who has to go, and what a failure leaves standing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sconce_domain::FinishReason;
use sconce_pipeline::{AnswerRequest, Displaces, ModelStatus, Pipeline, Readiness, Refusal};

use crate::answers::{gather, one};
use crate::stage::loader::{repertoire, repertoire_of};
use crate::stage::{FORGETS, completion, eventually};

fn asking(model: &str, prompt: &str) -> AnswerRequest {
    AnswerRequest {
        model: Some(model.to_owned()),
        ..completion(prompt)
    }
}

/// The models' names and how they stand, in one line.
fn standing(pipeline: &Pipeline) -> String {
    let entries = pipeline.model_entries();
    let words = entries
        .iter()
        .map(|it| format!("{} {}", it.name, it.status.as_str()));
    words.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn the_first_request_loads_the_model_once_and_all_that_wait_are_answered() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40)]);
    orders[1].load_ms.store(30, Ordering::SeqCst);
    assert_eq!(pipeline.readiness(), Readiness::Ready);
    assert_eq!(standing(&pipeline), "a unloaded, b unloaded");
    let asked = (0..5).map(|it| one(&pipeline, asking("b-alias", ["x", "y"][it % 2])));
    let answers = join_all(asked).await;
    assert!(
        answers
            .iter()
            .all(|(_, reason, _)| *reason == FinishReason::Stop)
    );
    assert_eq!(orders[1].loads.load(Ordering::SeqCst), 1);
    assert_eq!(standing(&pipeline), "a unloaded, b ready");
    assert_eq!(one(&pipeline, completion("default")).await.0, "default");
    assert_eq!(standing(&pipeline), "a ready, b ready");
}

#[tokio::test]
async fn a_load_goes_on_when_the_client_that_asked_for_it_leaves() {
    let (pipeline, orders) = repertoire(&[("a", 40)]);
    orders[0].load_ms.store(30, Ordering::SeqCst);
    let impatient = pipeline.answer(asking("a", "x"));
    let left = tokio::time::timeout(Duration::from_millis(5), impatient).await;
    assert!(left.is_err(), "the load takes longer");
    eventually("it is loaded", || standing(&pipeline) == "a ready").await;
    assert_eq!(pipeline.answers_open(), 0);
}

#[tokio::test]
async fn a_request_waits_for_a_load_no_longer_than_it_may_wait_at_all() {
    let (pipeline, orders) = repertoire(&[("a", 40)]);
    orders[0].load_ms.store(200, Ordering::SeqCst);
    let mut hasty = asking("a", "x");
    hasty.options.wait_max = Some(Duration::from_millis(10));
    let refusal = pipeline.answer(hasty).await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::QueueTimeout { waited_ms: 10, .. }),
        "{refusal}"
    );
    assert_eq!(one(&pipeline, asking("a", "x")).await.0, "x");
}

#[tokio::test]
async fn the_least_recently_used_idle_model_makes_room() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40), ("c", 40)]);
    for name in ["a", "b", "a", "c"] {
        assert_eq!(one(&pipeline, asking(name, "x")).await.0, "x");
    }
    assert_eq!(standing(&pipeline), "a ready, b unloaded, c ready");
    one(&pipeline, asking("b", "x")).await;
    assert_eq!(standing(&pipeline), "a unloaded, b ready, c ready");
    let loads: Vec<u32> = orders
        .iter()
        .map(|it| it.loads.load(Ordering::SeqCst))
        .collect();
    assert_eq!(loads, [1, 2, 1]);
}

#[tokio::test]
async fn a_model_in_use_ends_its_answers_before_it_gives_way_and_comes_back() {
    let (pipeline, orders) = repertoire(&[("a", 60), ("b", 60)]);
    orders[0].step_ms.store(3, Ordering::SeqCst);
    let long = "x".repeat(100);
    let running = pipeline.answer(asking("a", &long)).await.unwrap();
    let (wanted, (text, told)) = tokio::join!(one(&pipeline, asking("b", "hello")), async {
        let (answers, _) = gather(running).await;
        (answers[0].text.clone(), standing(&pipeline))
    });
    assert_eq!(text, long, "the answer that ran is whole");
    assert_eq!(wanted.0, "hello");
    assert!(told.starts_with("a draining, b loading"), "{told}");
    assert_eq!(standing(&pipeline), "a unloaded, b ready");
    assert_eq!(one(&pipeline, asking("a", "again")).await.0, "again");
    assert_eq!(standing(&pipeline), "a ready, b unloaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_that_do_not_fit_together_take_turns_and_everyone_is_answered() {
    let (pipeline, orders) = repertoire(&[("a", 60), ("b", 60)]);
    orders
        .iter()
        .for_each(|it| it.step_ms.store(1, Ordering::SeqCst));
    let client = async |name: &'static str, times: usize| {
        for _ in 0..times {
            assert_eq!(one(&pipeline, asking(name, "a text")).await.0, "a text");
        }
    };
    let crowd = [("a", 40), ("a", 40), ("b", 3), ("b", 3)];
    let all = join_all(crowd.map(|(name, times)| client(name, times)));
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
    assert!(orders[1].loads.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn steps_of_two_models_never_overlap() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40)]);
    orders
        .iter()
        .for_each(|it| it.step_ms.store(1, Ordering::SeqCst));
    let asked =
        ["a", "b", "a", "b"].map(|it| one(&pipeline, asking(it, "thirty characters of prompt ok")));
    join_all(asked).await;
    assert!(!orders[0].overlapped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_leaves_the_others_serving() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40)]);
    orders[1].fails.store(true, Ordering::SeqCst);
    let refusal = pipeline.answer(asking("b", "x")).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the model `b` is not there: it was told to fail; it can be tried again in 10 s"
    );
    pipeline.answer(asking("b", "x")).await.unwrap_err();
    let loads = || orders[1].loads.load(Ordering::SeqCst);
    assert_eq!(loads(), 1, "it is too soon to try again");
    assert_eq!(one(&pipeline, asking("a", "x")).await.0, "x");
    assert_eq!(standing(&pipeline), "a ready, b failed");
    assert_eq!(pipeline.readiness(), Readiness::Ready);
    orders[1].fails.store(false, Ordering::SeqCst);
    orders[1].panics.store(true, Ordering::SeqCst);
    let entry = pipeline.load_model("b", Displaces::Others).await.unwrap();
    let ModelStatus::Failed { fact } = entry.status else {
        panic!("{entry:?}");
    };
    assert!(fact.contains("told to panic"), "{fact}");
    orders[1].panics.store(false, Ordering::SeqCst);
    pipeline.load_model("b", Displaces::Others).await.unwrap();
    assert_eq!(one(&pipeline, asking("b", "x")).await.0, "x");
}

#[tokio::test]
async fn a_model_whose_engine_died_is_told_and_can_be_loaded_again() {
    let (pipeline, _) = repertoire(&[("a", 40), ("b", 80)]);
    one(&pipeline, asking("a", "x")).await;
    let poison = char::from(FORGETS).to_string();
    let (_, reason, _) = one(&pipeline, asking("a", &poison)).await;
    assert!(matches!(reason, FinishReason::Failed(_)), "{reason:?}");
    assert_eq!(standing(&pipeline), "a failed, b unloaded");
    let refusal = pipeline.answer(asking("a", "x")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::ModelFailed { .. }), "{refusal}");
    // What it took is free.
    let entry = pipeline.load_model("b", Displaces::Nobody).await.unwrap();
    assert_eq!(entry.status, ModelStatus::Ready);
    let entry = pipeline.load_model("a", Displaces::Others).await.unwrap();
    assert_eq!(entry.status, ModelStatus::Ready);
    assert_eq!(one(&pipeline, asking("a", "again")).await.0, "again");
    let text = pipeline.metrics().text();
    let counted = "vllm:generation_tokens_total{engine=\"0\",model_name=\"a\"} 6";
    assert!(text.contains(counted), "both lives count:\n{text}");
}

#[tokio::test]
async fn a_model_is_unloaded_when_its_answers_have_ended() {
    let (pipeline, orders) = repertoire(&[("a", 40)]);
    orders[0].step_ms.store(2, Ordering::SeqCst);
    let running = pipeline.answer(asking("a", &"x".repeat(40))).await.unwrap();
    let begun = Instant::now();
    let (entry, (answers, _)) = tokio::join!(pipeline.unload_model("a"), gather(running));
    assert_eq!(answers[0].reason, Some(FinishReason::Stop));
    assert!(begun.elapsed() >= Duration::from_millis(40), "it waited");
    assert_eq!(entry.unwrap().status, ModelStatus::Unloaded);
    assert_eq!(one(&pipeline, asking("a", "back")).await.0, "back");
    assert_eq!(orders[0].loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_finds_no_room_at_the_start_waits_to_be_asked_for() {
    let (pipeline, _) = repertoire(&[("a", 60), ("b", 60), ("c", 101)]);
    for name in ["a", "b", "c"] {
        pipeline.load_model(name, Displaces::Nobody).await.unwrap();
    }
    assert_eq!(standing(&pipeline), "a ready, b unloaded, c failed");
    let refusal = pipeline.answer(asking("c", "x")).await.unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("it takes 101 bytes (100 of weights, 1 of KV cache)"),
        "{refusal}"
    );
    one(&pipeline, asking("b", "x")).await;
    assert_eq!(standing(&pipeline), "a unloaded, b ready, c failed");
}

#[tokio::test]
async fn requests_do_not_wait_for_a_model_that_is_still_being_fetched() {
    let (pipeline, orders) = repertoire(&[("a", 40), ("b", 40)]);
    orders[0].is_away.store(true, Ordering::SeqCst);
    let refusal = pipeline.answer(asking("a", "x")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Loading { .. }), "{refusal}");
    assert_eq!(one(&pipeline, asking("b", "x")).await.0, "x");
    orders[0].is_away.store(false, Ordering::SeqCst);
    eventually("it is there", || standing(&pipeline) == "a ready, b ready").await;
    assert_eq!(one(&pipeline, asking("a", "x")).await.0, "x");
}

#[tokio::test]
async fn a_model_that_nobody_uses_is_unloaded_after_its_time_and_not_before() {
    let (pipeline, orders) = repertoire_of(&[("a", 40), ("b", 40)], Some(100));
    let tended = std::sync::Arc::clone(&pipeline);
    let tending = tokio::spawn(async move { tended.unload_the_idle().await });
    orders[0].step_ms.store(4, Ordering::SeqCst);
    one(&pipeline, asking("b", "x")).await;
    let begun = Instant::now();
    assert_eq!(
        one(&pipeline, asking("a", &"x".repeat(50))).await.0.len(),
        50
    );
    assert!(
        begun.elapsed() > Duration::from_millis(150),
        "it outlasts the time"
    );
    assert_eq!(standing(&pipeline), "a ready, b unloaded");
    let gauge = |bytes: u64| {
        let text = pipeline.metrics().text();
        let name = "sconce_model_memory_bytes{engine=\"0\",model_name=\"a\"}";
        text.contains(&format!("{name} {bytes}\n"))
    };
    assert!(gauge(40));
    let ended = Instant::now();
    eventually("it is unloaded", || {
        standing(&pipeline) == "a unloaded, b unloaded"
    })
    .await;
    assert!(ended.elapsed() > Duration::from_millis(90));
    assert!(gauge(0));
    tending.abort();
}
