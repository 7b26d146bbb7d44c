//! Answers over a real socket, by a device that says the prompt again.

use crate::server::Server;
use crate::stage::{Sizes, Stage};
use expect_test::{Expect, expect};
use sconce_http::HttpLimits;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

async fn started(stage: &Stage) -> Server {
    Server::start(&stage.pipeline, HttpLimits::default()).await
}

fn chat(content: &str, more: Value) -> Vec<u8> {
    let mut body = json!({"messages": [{"role": "user", "content": content}]});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

/// What changes from run to run gets a fixed value.
fn settle(value: &mut Value) {
    let id = value["id"].as_str().unwrap();
    let (kind, name) = id.split_once('-').unwrap();
    assert_eq!(name.len(), 16);
    value["id"] = json!(format!("{kind}-0"));
    assert!(value["created"].as_u64().unwrap() > 1_600_000_000);
    value["created"] = json!(0);
}

fn check(mut value: Value, expected: Expect) {
    settle(&mut value);
    expected.assert_eq(&value.to_string());
}

#[tokio::test]
async fn a_chat_is_answered_in_openais_shape() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let reply = server
        .post(CHAT, &chat("hé 🦀", json!({"temperature": 0})))
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-request-id").unwrap().starts_with("req-"));
    check(
        reply.json(),
        expect![[
            r#"{"id":"chatcmpl-0","object":"chat.completion","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"message":{"role":"assistant","content":"hé 🦀","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":8,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":0}}}"#
        ]],
    );
}

#[tokio::test]
async fn a_streamed_chat_opens_with_the_role_and_ends_with_usage_and_done() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let reply = server.post(CHAT, &chat("🦀!", more)).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let mut chunks = reply.chunks();
    chunks.iter_mut().for_each(settle);
    let lines: Vec<String> = chunks.iter().map(Value::to_string).collect();
    expect![[r#"
        {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"delta":{"content":"🦀"},"logprobs":null,"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
        {"id":"chatcmpl-0","object":"chat.completion.chunk","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0}}}"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn chat_log_probabilities_have_bytes_and_alternatives() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let more = json!({"logprobs": true, "top_logprobs": 2});
    let reply = server.post(CHAT, &chat("ü", more)).await.json();
    expect![[r#"{"content":[{"token":"�","logprob":-0.5,"bytes":[195],"top_logprobs":[{"token":"�","logprob":-0.5,"bytes":[195]},{"token":"�","logprob":-1.5,"bytes":[196]}]},{"token":"�","logprob":-0.5,"bytes":[188],"top_logprobs":[{"token":"�","logprob":-0.5,"bytes":[188]},{"token":"�","logprob":-1.5,"bytes":[189]}]}],"refusal":null}"#]].assert_eq(&reply["choices"][0]["logprobs"].to_string());
    let streamed = json!({"logprobs": true, "stream": true});
    let chunks = server.post(CHAT, &chat("üa", streamed)).await.chunks();
    let entries: usize = chunks
        .iter()
        .map(|it| {
            it["choices"][0]["logprobs"]["content"]
                .as_array()
                .map_or(0, Vec::len)
        })
        .sum();
    assert_eq!(entries, 3);
}

#[tokio::test]
async fn a_completion_is_answered_in_the_legacy_shape() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let body = json!({"prompt": ["ab", "c"], "logprobs": 1, "stop": "b"}).to_string();
    let reply = server.post(COMPLETIONS, body.as_bytes()).await;
    check(
        reply.json(),
        expect![[
            r#"{"id":"cmpl-0","object":"text_completion","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[{"a":-0.5}],"text_offset":[0]},"finish_reason":"stop"},{"index":1,"text":"c","logprobs":{"tokens":["c"],"token_logprobs":[-0.5],"top_logprobs":[{"c":-0.5}],"text_offset":[0]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":0}}}"#
        ]],
    );
    let body = json!({"prompt": [104, 105], "stream": true}).to_string();
    let mut chunks = server.post(COMPLETIONS, body.as_bytes()).await.chunks();
    chunks.iter_mut().for_each(settle);
    let lines: Vec<String> = chunks.iter().map(Value::to_string).collect();
    expect![[r#"
        {"id":"cmpl-0","object":"text_completion","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"text":"h","logprobs":null,"finish_reason":null}]}
        {"id":"cmpl-0","object":"text_completion","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"text":"i","logprobs":null,"finish_reason":null}]}
        {"id":"cmpl-0","object":"text_completion","created":0,"model":"tiny","system_fingerprint":"sconce-0.1.0","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn an_echo_tells_the_prompts_tokens_before_the_answers() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let body = json!({"prompt": "aü", "echo": true, "logprobs": 1, "max_tokens": 1}).to_string();
    let reply = server.post(COMPLETIONS, body.as_bytes()).await;
    let expected = expect![[
        r#"{"index":0,"text":"aüa","logprobs":{"tokens":["a","bytes:\\xc3","bytes:\\xbc","a"],"token_logprobs":[null,-1.0,-0.5,-0.5],"top_logprobs":[null,{"bytes:\\xc3":-1.0},{"bytes:\\xbc":-0.5},{"a":-0.5}],"text_offset":[0,1,1,2]},"finish_reason":"length"}"#
    ]];
    expected.assert_eq(&reply.json()["choices"][0].to_string());
    let streamed = server
        .post(
            COMPLETIONS,
            body.replace('{', r#"{"stream":true,"#).as_bytes(),
        )
        .await;
    let (mut text, mut tokens) = (String::new(), Vec::new());
    for event in streamed.chunks() {
        let choice = &event["choices"][0];
        text.push_str(choice["text"].as_str().unwrap());
        let told = choice["logprobs"]["tokens"].as_array().cloned();
        tokens.extend(told.unwrap_or_default());
    }
    assert_eq!(text, reply.json()["choices"][0]["text"]);
    assert_eq!(
        json!(tokens),
        reply.json()["choices"][0]["logprobs"]["tokens"]
    );
    let body = json!({"prompt": [[97], [98, 99]], "echo": true, "max_tokens": 0}).to_string();
    let reply = server.post(COMPLETIONS, body.as_bytes()).await;
    let choice = |index: usize| reply.json()["choices"][index]["text"].clone();
    assert_eq!((choice(0), choice(1)), (json!("a"), json!("bc")));
    assert_eq!(reply.json()["usage"]["completion_tokens"], 0);
}

#[tokio::test]
async fn a_completion_without_a_bound_ends_after_sixteen_tokens() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let body = json!({"prompt": "x".repeat(40)}).to_string();
    let reply = server.post(COMPLETIONS, body.as_bytes()).await.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn several_answers_stream_under_their_own_index() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let chunks = server
        .post(CHAT, &chat("abc", json!({"stream": true, "n": 3})))
        .await
        .chunks();
    for index in 0..3 {
        let of_index: Vec<&Value> = chunks
            .iter()
            .map(|it| &it["choices"][0])
            .filter(|it| it["index"] == index)
            .collect();
        assert_eq!(of_index[0]["delta"]["role"], "assistant");
        let text: String = of_index
            .iter()
            .filter_map(|it| it["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "abc");
        assert_eq!(of_index.last().unwrap()["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn no_event_splits_a_character() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let text = "añ漢🦀👩‍👩‍👧".repeat(5);
    let chunks = server
        .post(CHAT, &chat(&text, json!({"stream": true})))
        .await
        .chunks();
    let deltas = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str());
    let deltas: Vec<&str> = deltas.collect();
    assert!(
        deltas
            .iter()
            .all(|it| !it.contains(char::REPLACEMENT_CHARACTER))
    );
    assert_eq!(deltas.concat(), text);
}

#[tokio::test]
async fn models_are_listed_and_found_by_name() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let list = server.get("/v1/models").await.json();
    expect![[r#"{"object":"list","data":[{"id":"tiny","object":"model","created":1700000000,"owned_by":"sconce","max_model_len":512,"status":{"value":"loaded"}}]}"#]].assert_eq(&list.to_string());
    assert_eq!(server.get("/v1/models/tiny").await.json()["id"], "tiny");
    let reply = server.get("/v1/models/no/such").await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].clone()),
        (404, json!("model_not_found"))
    );
}

#[tokio::test]
async fn requests_that_could_not_be_read_are_counted_by_their_code() {
    let stage = Stage::echo(0);
    let limits = HttpLimits {
        body_bytes_max: 100,
        ..HttpLimits::default()
    };
    let server = Server::start(&stage.pipeline, limits).await;
    for body in [
        "{",
        r#"{"messages":7}"#,
        r#"{"messages":[],"sorcery":1}"#,
        &" ".repeat(101),
    ] {
        assert!(server.post(CHAT, body.as_bytes()).await.status >= 400);
    }
    server.post("/v1/completions", b"nothing").await;
    let metrics = server.get("/metrics").await.body;
    for (code, count) in [
        ("invalid_json", 2),
        ("invalid_value", 2),
        ("body_too_large", 1),
    ] {
        let line = format!("sconce_requests_refused_total{{reason=\"{code}\"}} {count}");
        assert!(
            metrics.lines().any(|it| it == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn the_metrics_follow_the_requests() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    for _ in 0..3 {
        server.post(CHAT, &chat("twelve bytes", json!({}))).await;
    }
    let metrics = server.get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "vllm:prompt_tokens_total{engine=\"0\",model_name=\"tiny\"} 36",
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 36",
        "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"tiny\"} 3",
        "vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"tiny\"} 3",
        "vllm:inter_token_latency_seconds_count{engine=\"0\",model_name=\"tiny\"} 33",
        "vllm:e2e_request_latency_seconds_count{engine=\"0\",model_name=\"tiny\"} 3",
        "vllm:request_queue_time_seconds_count{engine=\"0\",model_name=\"tiny\"} 3",
        "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0",
    ] {
        assert!(
            metrics.body.lines().any(|it| it == line),
            "{line} is not in\n{}",
            metrics.body
        );
    }
}

#[tokio::test]
async fn a_device_that_fails_is_a_500_or_an_error_event_without_done() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let reply = server.post(CHAT, &chat("ab\u{1}", json!({}))).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["type"].clone()),
        (500, json!("server_error"))
    );
    let reply = server
        .post(CHAT, &chat("ab\u{1}", json!({"stream": true})))
        .await;
    let events = reply.events();
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(
        (reply.status, last["error"]["code"].clone()),
        (200, json!("device_failed"))
    );
    assert!(!events.contains(&"[DONE]"));
    assert_eq!(
        server.post(CHAT, &chat("next", json!({}))).await.status,
        200
    );
}

#[tokio::test]
async fn a_device_that_panics_is_a_500_and_the_server_goes_on() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    let reply = server.post(CHAT, &chat("ab\u{2}", json!({}))).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].clone()),
        (500, json!("device_failed"))
    );
    assert_eq!(server.get("/health").await.status, 200);
    let reply = server.post(CHAT, &chat("next", json!({}))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_dead_engine_is_told_by_every_probe() {
    let stage = Stage::echo(0);
    let server = started(&stage).await;
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(
        server.post(CHAT, &chat("\u{3}", json!({}))).await.status,
        500
    );
    let reply = server.post(CHAT, &chat("next", json!({}))).await;
    assert_eq!(
        (reply.status, reply.header("x-should-retry")),
        (500, Some("false"))
    );
    assert_eq!(server.get("/health").await.status, 500);
    assert_eq!(server.get("/ready").await.status, 503);
    assert_eq!(server.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn more_requests_than_places_get_429_and_a_time_to_come_back() {
    let sizes = Sizes {
        running_max: 1,
        queue_max: 1,
        ..Sizes::default()
    };
    let stage = Stage::new(
        crate::stage::Echo {
            step: std::time::Duration::from_millis(20),
        },
        sizes,
    );
    let server = started(&stage).await;
    let long = String::from_utf8(chat(&"x".repeat(100), json!({"stream": true}))).unwrap();
    let _first = server.open(CHAT, &long).await;
    let _second = server.open(CHAT, &long).await;
    crate::stage::eventually("both places are taken", || {
        stage.pipeline.answers_open() == 2
    })
    .await;
    let reply = server.post(CHAT, &chat("a", json!({}))).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn the_more_urgent_go_first_take_a_place_and_cost_nobody_a_token() {
    let echo = crate::stage::Echo {
        step: std::time::Duration::from_millis(5),
    };
    let sizes = Sizes {
        running_max: 1,
        ..Sizes::default()
    };
    let stage = Stage::new(echo, sizes);
    let server = started(&stage).await;
    let engine = stage.engine.handle();
    let long = "x".repeat(80);
    let bodies = [
        json!({"prompt": long, "max_tokens": 80}),
        json!({"prompt": "later", "priority": 1}),
        json!({"prompt": "sooner", "priority": -1}),
    ];
    let post = async |wait_ms: u64, body: &Value| {
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        let reply = server.post(COMPLETIONS, body.to_string().as_bytes()).await;
        let text = reply.json()["choices"][0]["text"]
            .as_str()
            .map(str::to_owned);
        (text.unwrap(), std::time::Instant::now())
    };
    let (first, later, sooner) = tokio::join!(
        post(0, &bodies[0]),
        post(60, &bodies[1]),
        post(120, &bodies[2])
    );
    assert_eq!([&first.0, &later.0, &sooner.0], [&long, "later", "sooner"]);
    assert!(sooner.1 < first.1 && first.1 < later.1);
    assert_eq!(engine.status().displacements_total, 1);
}

/// One place that is taken for a while, a limit of the server's, and shorter ones of requests.
#[tokio::test]
async fn a_request_whose_turn_does_not_come_is_a_503_and_leaves_nothing_behind() {
    let ms = std::time::Duration::from_millis;
    let sizes = Sizes {
        running_max: 1,
        wait_max: Some(ms(150)),
        ..Sizes::default()
    };
    let stage = Stage::new(crate::stage::Echo { step: ms(10) }, sizes);
    let server = started(&stage).await;
    let long = json!({"prompt": "x".repeat(60), "max_tokens": 60, "queue_timeout_s": 0});
    let post = async |body: Value| server.post(COMPLETIONS, body.to_string().as_bytes()).await;
    let (streamed, hasty) = (
        json!({"prompt": "a", "stream": true, "queue_timeout_s": 600}),
        json!({"prompt": ["a", "b"], "n": 2, "queue_timeout_s": 0}),
    );
    let begun = std::time::Instant::now();
    let waiting = async {
        tokio::time::sleep(ms(50)).await;
        let replies = tokio::join!(post(streamed), post(hasty));
        (replies, begun.elapsed())
    };
    let (first, ((streamed, hasty), waited)) = tokio::join!(post(long), waiting);
    let statuses = [&first, &streamed, &hasty].map(|it| it.status);
    assert_eq!(statuses, [200, 503, 503], "who can start at once does");
    assert!(waited >= ms(200) && waited < ms(500), "{waited:?}");
    for reply in [streamed, hasty] {
        assert_eq!(reply.json()["error"]["code"], "queue_timeout");
        assert_eq!(reply.json()["error"]["type"], "server_error");
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
    }
    let status = stage.engine.handle().status();
    assert_eq!((status.waiting, stage.pipeline.answers_open()), (0, 0));
    let metrics = server.get("/metrics").await.body;
    for line in [
        "sconce_requests_refused_total{reason=\"queue_timeout\"} 2",
        "finished_reason=\"abort\",model_name=\"tiny\"} 0",
        "finished_reason=\"error\",model_name=\"tiny\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_a_504_or_breaks_off_its_stream() {
    let stage = Stage::echo(10);
    let server = started(&stage).await;
    let body = |more: &str| {
        let long = "x".repeat(200);
        format!(r#"{{"prompt":"{long}","max_tokens":200,"timeout_s":0.1{more}}}"#).into_bytes()
    };
    let (whole, streamed) = (body(""), body(r#","stream":true"#));
    let (whole, streamed) = tokio::join!(
        server.post(COMPLETIONS, &whole),
        server.post(COMPLETIONS, &streamed)
    );
    assert_eq!(
        (whole.status, whole.header("x-should-retry")),
        (504, Some("false"))
    );
    assert_eq!(whole.json()["error"]["code"], "timeout");
    let events = streamed.events();
    assert!(streamed.status == 200 && events.len() > 1, "{streamed:?}");
    let last: Value = serde_json::from_str(events[events.len() - 1]).unwrap();
    assert_eq!(last["error"]["code"], "timeout");
}
