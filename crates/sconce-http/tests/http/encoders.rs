//! Embeddings, reranking and scores over a hand-made encoder: a vector counts a text's colours.

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use sconce_http::HttpLimits;
use sconce_pipeline::{EncoderKind, Pipeline};
use serde_json::{Value, json};

use crate::colours::{CONTEXT, ColoursLoader, declare};
use crate::models::{ask, statuses};
use crate::server::{Reply, Server};
use crate::stage::loader::repertoire;
use crate::stage::{Stage, eventually};

/// A stage with the encoder beside a generator called `tiny`.
struct Show {
    stage: Stage,
    server: Server,
}

impl Show {
    async fn new(kind: EncoderKind, pass_ms: u64) -> Self {
        let stage = Stage::echo(0);
        let loader = ColoursLoader {
            kind,
            pass: Duration::from_millis(pass_ms),
            bytes: 40,
        };
        declare(&stage.pipeline, loader, None);
        let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
        Self { stage, server }
    }

    async fn of_vectors() -> Self {
        Self::new(EncoderKind::Vectors { dimensions: 3 }, 0).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.server.post(path, body.to_string().as_bytes()).await
    }

    async fn told(&self, path: &str, body: Value) -> Value {
        self.post(path, body).await.json()
    }
}

#[tokio::test]
async fn texts_become_vectors_of_length_one_in_their_order() {
    let show = Show::of_vectors().await;
    let told = show
        .told(
            "/v1/embeddings",
            json!({"model": "colours", "input": ["red green", "blue"]}),
        )
        .await;
    expect![[r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.70710677,0.70710677,0.0]},{"object":"embedding","index":1,"embedding":[0.0,0.0,1.0]}],"model":"colours","usage":{"prompt_tokens":7,"total_tokens":7}}"#]].assert_eq(&told.to_string());
    for (input, wanted) in [
        (json!("blue blue"), json!([0.0, 0.0, 1.0])),
        (json!([0, 3, 1]), json!([1.0, 0.0, 0.0])),
        (json!([[4, 4], [5]]), json!([0.0, 1.0, 0.0])),
    ] {
        let told = show.told("/v1/embeddings", json!({"input": input})).await;
        assert_eq!(told["data"][0]["embedding"], wanted, "{input}");
    }
    let raw = json!({"input": "red red", "normalize": false, "dimensions": 3, "model": "colors"});
    let told = show.told("/v1/embeddings", raw).await;
    assert_eq!(told["data"][0]["embedding"], json!([2.0, 0.0, 0.0]));
}

#[tokio::test]
async fn base64_is_the_same_numbers() {
    let show = Show::of_vectors().await;
    let body = json!({"input": "blue", "encoding_format": "base64", "user": "me"});
    let told = show.told("/v1/embeddings", body).await;
    assert_eq!(told["data"][0]["embedding"], "AAAAAAAAAAAAAIA/");
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_only_if_the_client_says_so() {
    let show = Show::of_vectors().await;
    let long = "red red red red green blue blue blue";
    let reply = show
        .post("/v1/embeddings", json!({"input": ["red", long]}))
        .await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["code"], "context_length_exceeded");
    let fact = reply.json()["error"]["message"].to_string();
    assert!(fact.contains("text 1 of `input` has 10 tokens"), "{fact}");
    for (cut, wanted, tokens) in [
        (json!({"truncate": true}), json!([4.0, 1.0, 1.0]), 8),
        (
            json!({"truncate_prompt_tokens": -1}),
            json!([4.0, 1.0, 1.0]),
            8,
        ),
        (
            json!({"truncate_prompt_tokens": 4}),
            json!([2.0, 0.0, 0.0]),
            4,
        ),
        (
            json!({"truncate_prompt_tokens": 99}),
            json!([4.0, 1.0, 1.0]),
            8,
        ),
    ] {
        let mut body = json!({"input": long, "normalize": false});
        body.as_object_mut()
            .unwrap()
            .extend(cut.as_object().unwrap().clone());
        let told = show.told("/v1/embeddings", body).await;
        assert_eq!(told["data"][0]["embedding"], wanted, "{cut}");
        assert_eq!(told["usage"]["prompt_tokens"], tokens, "{cut}");
    }
}

#[tokio::test]
async fn documents_come_back_in_the_order_of_their_fit() {
    let show = Show::of_vectors().await;
    let documents = json!(["blue", {"text": "red green"}, "red"]);
    let body = json!({"query": "red", "documents": documents});
    let told = show.told("/v1/rerank", body.clone()).await;
    expect![[r#"[{"index":2,"relevance_score":1.0},{"index":1,"relevance_score":0.70710677},{"index":0,"relevance_score":0.0}]"#]].assert_eq(&told["results"].to_string());
    assert_eq!(told["usage"]["total_tokens"], 13);
    let mut best = body;
    best["top_n"] = json!(1);
    best["return_documents"] = json!(true);
    let told = show.told("/v2/rerank", best).await;
    assert_eq!(
        told["results"],
        json!([{"index": 2, "relevance_score": 1.0, "document": {"text": "red"}}])
    );
    let cut = json!({"query": "red", "documents": ["blue red"], "max_tokens_per_doc": 1});
    let told = show.told("/v1/rerank", cut).await;
    assert_eq!(told["results"][0]["relevance_score"], 0.0);
}

#[tokio::test]
async fn pairs_are_scored_one_by_one_or_against_one() {
    let show = Show::of_vectors().await;
    let scores = |told: Value| -> Vec<f64> {
        let data = told["data"].as_array().unwrap();
        data.iter()
            .map(|it| it["score"].as_f64().unwrap())
            .collect()
    };
    let one = json!({"text_1": "red", "text_2": ["red", "blue"]});
    assert_eq!(scores(show.told("/v1/score", one).await), [1.0, 0.0]);
    let each = json!({"text_1": ["red", "blue"], "text_2": ["red", "blue"]});
    assert_eq!(scores(show.told("/v1/score", each).await), [1.0, 1.0]);
    let reply = show
        .post(
            "/v1/score",
            json!({"text_1": ["red", "red"], "text_2": "red"}),
        )
        .await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["param"]),
        (400, &json!("text_1"))
    );
}

#[tokio::test]
async fn an_encoder_of_pairs_judges_them_together_and_makes_no_vectors() {
    let show = Show::new(EncoderKind::Scores, 0).await;
    let body = json!({"query": "red blue", "documents": ["green", "blue red", "red"]});
    let told = show.told("/v1/rerank", body).await;
    expect![[r#"[{"index":1,"relevance_score":0.7310586},{"index":2,"relevance_score":0.5},{"index":0,"relevance_score":0.26894143}]"#]].assert_eq(&told["results"].to_string());
    let reply = show.post("/v1/embeddings", json!({"input": "red"})).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (400, &json!("no_vectors"))
    );
    let long = json!({"text_1": "red red", "text_2": "blue blue blue red", "truncate": true});
    let told = show.told("/v1/score", long.clone()).await;
    assert_eq!(told["usage"]["prompt_tokens"], CONTEXT);
    let mut refused = long;
    refused["truncate"] = json!(false);
    let reply = show.post("/v1/score", refused).await;
    assert_eq!(reply.json()["error"]["code"], "context_length_exceeded");
}

fn wrong_requests() -> Vec<(&'static str, Value)> {
    vec![
        ("/v1/embeddings", json!({})),
        ("/v1/embeddings", json!({"input": []})),
        ("/v1/embeddings", json!({"input": ""})),
        ("/v1/embeddings", json!({"input": ["red", 3]})),
        ("/v1/embeddings", json!({"input": [[3], [7]]})),
        ("/v1/embeddings", json!({"input": "red", "dimensions": 2})),
        (
            "/v1/embeddings",
            json!({"input": "red", "encoding_format": "int8"}),
        ),
        (
            "/v1/embeddings",
            json!({"input": "red", "truncate_prompt_tokens": 0}),
        ),
        ("/v1/embeddings", json!({"input": "red", "task": "search"})),
        ("/v1/embeddings", json!({"input": "red", "model": "nobody"})),
        ("/v1/embeddings", json!({"input": "red", "model": "tiny"})),
        ("/v1/embeddings", json!({"input": vec!["red"; 7]})),
        ("/v1/rerank", json!({"documents": ["red"]})),
        ("/v1/rerank", json!({"query": "red", "documents": []})),
        (
            "/v1/rerank",
            json!({"query": "red", "documents": [{"title": "red"}]}),
        ),
        (
            "/v1/rerank",
            json!({"query": "red", "documents": ["red", ""]}),
        ),
        (
            "/v1/rerank",
            json!({"query": "red", "documents": ["red"], "top_n": 0}),
        ),
        ("/v1/score", json!({"text_1": "red"})),
        (
            "/v1/completions",
            json!({"prompt": "red", "model": "colours"}),
        ),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": "a"}], "model": "colors"}),
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let show = Show::of_vectors().await;
    let mut told = String::new();
    for (path, body) in wrong_requests() {
        let reply = show.post(path, body).await;
        let error = reply.json()["error"].clone();
        let (param, code) = (&error["param"], &error["code"]);
        told += &format!("{} {param} {code}: {}\n", reply.status, error["message"]);
    }
    expect![[r#"
        400 "input" "invalid_value": "`input` is missing; it must be a string, a list of strings, a list of token ids or a list of such lists"
        400 "input" "invalid_value": "`input` is an empty list; give at least one text"
        400 "input" "empty_text": "text 0 of `input` is empty; give at least one character or token"
        400 "input[1]" "invalid_value": "`input[1]` must be a string or a list of token ids, not 3"
        400 "input" "unknown_token": "`input` has token id 7 and `colours` knows ids 0 to 6"
        400 "dimensions" "dimensions": "the vectors of `colours` have 3 dimensions and were not trained to be cut to 2; leave `dimensions` out"
        400 "encoding_format" "invalid_value": "`encoding_format` must be \"float\" or \"base64\""
        400 "truncate_prompt_tokens" "invalid_value": "`truncate_prompt_tokens` must be -1 or at least 1, not 0"
        400 "task" "unknown_parameter": "`task` is no field this server knows; remove it or correct its name"
        404 "model" "model_not_found": "the model `nobody` is not served here; use one of: colours, colors, default"
        400 "model" "not_an_encoder": "`tiny` is no encoder; use one of: colours"
        400 null "too_many_texts": "the request has 7 texts and this server holds at most 6 at once; send fewer"
        400 "query" "invalid_value": "`query` is missing; it must be a string"
        400 "documents" "invalid_value": "`documents` is an empty list; give at least one"
        400 "documents[0].title" "unknown_parameter": "`documents[0].title` is no field this server knows; remove it or correct its name"
        400 "documents" "empty_text": "text 1 of `documents` is empty; give at least one character or token"
        400 "top_n" "invalid_value": "`top_n` must be a whole number from 1 to 4294967295, not 0"
        400 "text_2" "invalid_value": "`text_2` is missing; it must be a string or a list of strings"
        400 "model" "not_a_generator": "`colours` is an encoder and answers no prompts; ask it at /v1/embeddings, /v1/rerank or /v1/score, or for answers ask one of: tiny"
        400 "model" "not_a_generator": "`colours` is an encoder and answers no prompts; ask it at /v1/embeddings, /v1/rerank or /v1/score, or for answers ask one of: tiny"
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn both_kinds_of_models_are_listed_and_counted() {
    let show = Show::of_vectors().await;
    let listed = show.server.get("/v1/models").await.json();
    let names: Vec<&Value> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(names, ["tiny", "colours"]);
    show.told("/v1/embeddings", json!({"input": ["red", "blue blue"]}))
        .await;
    let found = show.server.get("/v1/models/colors").await.json();
    assert_eq!(found["max_model_len"], CONTEXT);
    let metrics = show.server.get("/metrics").await.body;
    for line in [
        "vllm:prompt_tokens_total{engine=\"0\",model_name=\"colours\"} 7",
        "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"colours\"} 1",
        "sconce_encoder_texts_total{engine=\"0\",model_name=\"colours\"} 2",
        "sconce_encoder_texts_waiting{engine=\"0\",model_name=\"colours\"} 0",
    ] {
        assert!(
            metrics.lines().any(|it| it == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_pass_that_panics_fails_its_own_requests_and_no_later_ones() {
    let show = Show::of_vectors().await;
    let reply = show.post("/v1/embeddings", json!({"input": "panic"})).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (500, &json!("device_failed"))
    );
    let reply = show.post("/v1/embeddings", json!({"input": "red"})).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_full_encoder_says_when_to_come_again_and_leavers_give_their_places_back() {
    let show = Show::new(EncoderKind::Vectors { dimensions: 3 }, 300).await;
    let body = json!({"input": vec!["red"; 5]}).to_string();
    let leaver = show.server.open("/v1/embeddings", &body).await;
    let pipeline = &show.stage.pipeline;
    eventually("the texts have places", || pipeline.answers_open() == 5).await;
    let reply = show
        .post("/v1/embeddings", json!({"input": ["red", "blue"]}))
        .await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("1"))
    );
    drop(leaver);
    eventually("the places are free", || pipeline.answers_open() == 0).await;
    let reply = show.post("/v1/embeddings", json!({"input": "red"})).await;
    assert_eq!(reply.status, 200);
}

/// A server of the generator `a` and of the encoder, each of which takes 60 bytes of the 100 there are.
async fn crowded(pass_ms: u64, idle_unload_ms: Option<u64>) -> (Server, Arc<Pipeline>) {
    let (pipeline, _) = repertoire(&[("a", 60)]);
    let loader = ColoursLoader {
        kind: EncoderKind::Vectors { dimensions: 3 },
        pass: Duration::from_millis(pass_ms),
        bytes: 60,
    };
    declare(&pipeline, loader, idle_unload_ms);
    let server = Server::start(&pipeline, HttpLimits::default()).await;
    (server, pipeline)
}

async fn memory_of(server: &Server, model: &str) -> String {
    let name = "sconce_model_memory_bytes";
    let start = format!("{name}{{engine=\"0\",model_name=\"{model}\"}} ");
    let text = server.get("/metrics").await.body;
    let line = text.lines().find_map(|it| it.strip_prefix(&start));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn an_encoder_is_loaded_on_demand_and_counts_against_the_memory_of_all_models() {
    let (server, _) = crowded(0, None).await;
    let completion = json!({"prompt": "x", "temperature": 0});
    assert_eq!(statuses(&server).await, "unloaded unloaded");
    assert_eq!(
        ask(&server, "/v1/completions", completion.clone())
            .await
            .status,
        200
    );
    assert_eq!(statuses(&server).await, "loaded unloaded");
    let reply = ask(&server, "/v1/embeddings", json!({"input": "red"})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        statuses(&server).await,
        "unloaded loaded",
        "both do not fit"
    );
    assert_eq!(memory_of(&server, "a").await, "0");
    assert_eq!(memory_of(&server, "colours").await, "60");
    let reply = ask(&server, "/v1/completions", completion).await;
    assert_eq!(reply.json()["choices"][0]["text"], "x");
    assert_eq!(statuses(&server).await, "loaded unloaded");
    assert_eq!(memory_of(&server, "colours").await, "0");
    let reply = ask(&server, "/models/load", json!({"model": "colors"})).await;
    assert_eq!(
        (reply.status, &reply.json()["max_model_len"]),
        (200, &json!(CONTEXT))
    );
    ask(&server, "/models/unload", json!({"model": "colours"})).await;
    assert_eq!(statuses(&server).await, "unloaded unloaded");
}

#[tokio::test]
async fn an_encoder_that_reads_ends_what_it_reads_before_it_gives_way() {
    let (server, pipeline) = crowded(200, None).await;
    let read = ask(&server, "/v1/embeddings", json!({"input": ["red", "blue"]}));
    let answered = async {
        eventually("the texts are read", || pipeline.answers_open() == 2).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        ask(&server, "/v1/completions", json!({"prompt": "x"})).await
    };
    let (read, answered) = tokio::join!(read, answered);
    assert_eq!((read.status, answered.status), (200, 200), "{read:?}");
    assert_eq!(statuses(&server).await, "loaded unloaded");
}

#[tokio::test]
async fn an_encoder_that_nobody_asks_is_unloaded_after_its_time() {
    let (server, pipeline) = crowded(0, Some(60)).await;
    let tended = Arc::clone(&pipeline);
    let tending = tokio::spawn(async move { tended.unload_the_idle().await });
    ask(&server, "/v1/embeddings", json!({"input": "red"})).await;
    assert_eq!(statuses(&server).await, "unloaded loaded");
    tokio::time::timeout(Duration::from_secs(5), async {
        while statuses(&server).await != "unloaded unloaded" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    tending.abort();
}

#[tokio::test]
async fn whoever_asks_the_wrong_kind_of_model_is_told_which_to_ask_and_nothing_is_loaded() {
    let (server, _) = crowded(0, None).await;
    for (path, body, told) in [
        (
            "/v1/chat/completions",
            json!({"model": "colours", "messages": [{"role": "user", "content": "a"}]}),
            "or for answers ask one of: a",
        ),
        (
            "/v1/embeddings",
            json!({"model": "a", "input": "red"}),
            "use one of: colours",
        ),
        (
            "/tokenize",
            json!({"model": "colours", "prompt": "red"}),
            "or for answers ask one of: a",
        ),
    ] {
        let reply = ask(&server, path, body).await;
        let message = reply.json()["error"]["message"].to_string();
        assert_eq!(reply.status, 400, "{path}: {message}");
        assert!(message.contains(told), "{path}: {message}");
    }
    assert_eq!(statuses(&server).await, "unloaded unloaded");
}
