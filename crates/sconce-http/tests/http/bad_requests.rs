//! Requests that must be refused, and the server that must live on.

use std::time::Duration;

use crate::server::{Server, head};
use crate::stage::Stage;
use expect_test::expect;
use sconce_http::HttpLimits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CHAT: &str = "/v1/chat/completions";

/// Sends each body and gives a line for each answer: status, param, code, message.
pub(crate) async fn refusals(path: &str, bodies: &[&[u8]]) -> String {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let mut lines = String::new();
    for body in bodies {
        let reply = server.post(path, body).await;
        let error = &reply.json()["error"];
        assert!(
            error.as_object().is_some_and(|it| it.len() == 4),
            "{reply:?}"
        );
        let message = error["message"].as_str().unwrap();
        lines.push_str(&format!(
            "{} {} {}: {message}\n",
            reply.status, error["param"], error["code"]
        ));
    }
    let good = br#"{"messages":[{"role":"user","content":"still here"}]}"#;
    assert_eq!(server.post(CHAT, good).await.status, 200);
    assert_eq!(stage.pipeline.answers_open(), 0);
    lines
}

#[tokio::test]
async fn a_chat_that_is_wrong_is_told_what_to_change() {
    let told = refusals(
        CHAT,
        &[
            b"",
            b"not json",
            b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
            b"[]",
            b"{}",
            br#"{"messages":[]}"#,
            br#"{"messages":"hi"}"#,
            br#"{"messages":["hi"]}"#,
            br#"{"messages":[{"content":"hi"}]}"#,
            br#"{"messages":[{"role":"tool","content":"hi"}]}"#,
            br#"{"messages":[{"role":"robot","content":"hi"}]}"#,
            br#"{"messages":[{"role":"user","content":"hi","tool_call_id":"a"}]}"#,
            br#"{"messages":[{"role":"assistant","tool_calls":[{"type":"function"}]}]}"#,
            br#"{"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}]}"#,
            br#"{"messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":{}}}]}]}"#,
            br#"{"messages":[{"role":"user"}]}"#,
            br#"{"messages":[{"role":"user","content":7}]}"#,
            br#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            br#"{"messages":[{"role":"user","content":"a","name":"b"}]}"#,
            br#"{"messages":[{"role":"user","content":"a","mood":"b"}]}"#,
            br#"{"messages":[{"role":"user","content":"a"}],"messages":[]}"#,
            br#"{"messages":[{"role":"user","content":"a"}],"model":"other"}"#,
            br#"{"messages":[{"role":"user","content":"a"}],"model":5}"#,
            br#"{"messages":[{"role":"user","content":""}]}"#,
        ],
    )
    .await;
    expect![[r#"
        400 null "invalid_json": the body is not the JSON this server can read: EOF while parsing a value at line 1 column 0
        400 null "invalid_json": the body is not the JSON this server can read: expected ident at line 1 column 2
        400 null "invalid_json": the body is not the JSON this server can read: invalid unicode code point at line 1 column 40
        400 null "invalid_value": the body must be an object, not a list
        400 "messages" "invalid_value": `messages` must hold at least one message
        400 "messages" "invalid_value": `messages` must hold at least one message
        400 "messages" "invalid_value": `messages` must be a list, not a string
        400 "messages[0]" "invalid_value": messages[0] must be an object, not a string
        400 "messages[0].role" "invalid_value": `messages[0].role` is missing; it must be system, developer, user, assistant or tool
        400 "messages[0].tool_call_id" "invalid_value": `messages[0].tool_call_id` is missing; it must be the id of the call answered
        400 "messages[0].role" "invalid_value": `messages[0].role` is `robot`; this server knows system, developer, user, assistant or tool
        400 "messages[0].tool_call_id" "unknown_parameter": `messages[0].tool_call_id` is no field this server knows; remove it or correct its name
        400 "messages[0].tool_calls[0].function" "invalid_value": `messages[0].tool_calls[0].function` is missing; it must be an object with a `name`
        400 "messages[0].tool_calls[0].id" "invalid_value": `messages[0].tool_calls[0].id` is missing; it must be a string
        400 "messages[0].tool_calls[0].function.arguments" "invalid_value": `messages[0].tool_calls[0].function.arguments` must be a string, not an object
        400 "messages[0].content" "invalid_value": `messages[0].content` is missing; it must be a string or a list of parts
        400 "messages[0].content" "invalid_value": `messages[0].content` must be a string or a list of parts, not 7
        400 "messages[0].content[0].type" "unsupported_parameter": `messages[0].content[0].type` is not supported by this server as `image_url`, only as `text`; leave it out
        400 "messages[0].name" "unsupported_parameter": `messages[0].name` is not supported by this server; leave it out
        400 "messages[0].mood" "unknown_parameter": `messages[0].mood` is no field this server knows; remove it or correct its name
        400 null "invalid_json": the body is not the JSON this server can read: the key `messages` stands twice in one object at line 1 column 54
        404 "model" "model_not_found": the model `other` is not served here; use one of: tiny, tiny-alias, default
        400 "model" "invalid_value": `model` must be a string, not 5
        400 "prompt" "empty_prompt": the prompt has no tokens; give at least one character
    "#]].assert_eq(&told);
}

const WRONG_OPTIONS: [&str; 48] = [
    r#""temperature":3"#,
    r#""temperature":"hot""#,
    r#""temperature":-0.1"#,
    r#""top_p":0"#,
    r#""top_p":1.1"#,
    r#""top_k":-2"#,
    r#""top_k":1.5"#,
    r#""min_p":2"#,
    r#""max_tokens":0"#,
    r#""max_tokens":-1"#,
    r#""max_tokens":1e3"#,
    r#""max_tokens":5,"max_completion_tokens":6"#,
    r#""n":0"#,
    r#""n":129"#,
    r#""n":100"#,
    r#""seed":1.5"#,
    r#""priority":2147483648"#,
    r#""priority":"high""#,
    r#""queue_timeout_s":-1"#,
    r#""timeout_s":0"#,
    r#""stop":["a",""]"#,
    r#""stop":["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"]"#,
    r#""stop":{}"#,
    r#""logprobs":1"#,
    r#""top_logprobs":3"#,
    r#""logprobs":true,"top_logprobs":21"#,
    r#""presence_penalty":2.5"#,
    r#""repetition_penalty":0"#,
    r#""stream":"yes""#,
    r#""stream_options":{"include_usage":true}"#,
    r#""stream":true,"stream_options":{"include_usage":1}"#,
    r#""stream":true,"stream_options":{"other":1}"#,
    r#""logit_bias":[[50,1]]"#,
    r#""logit_bias":{"50":101}"#,
    r#""logit_bias":{"50":"1"}"#,
    r#""logit_bias":{"050":1}"#,
    r#""logit_bias":{"-1":1}"#,
    r#""logit_bias":{"258":1}"#,
    r#""stop_token_ids":1"#,
    r#""stop_token_ids":[1,-1]"#,
    r#""stop_token_ids":[1,300]"#,
    r#""ignore_eos":1"#,
    r#""min_tokens":-1"#,
    r#""min_tokens":6,"max_tokens":5"#,
    r#""typical_p":0"#,
    r#""typical_p":1.5"#,
    r#""best_of":2"#,
    r#""temprature":1"#,
];

/// What a chat is told that has each of `options`.
async fn refusals_of_options(options: &[&str]) -> String {
    let bodies: Vec<String> = options
        .iter()
        .map(|it| format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{it}}}"#))
        .collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
    refusals(CHAT, &bodies).await
}

#[tokio::test]
async fn an_option_that_is_wrong_is_named() {
    let told = refusals_of_options(&WRONG_OPTIONS).await;
    expect![[r#"
        400 "temperature" "invalid_value": `temperature` must be a number from 0 to 2, not 3
        400 "temperature" "invalid_value": `temperature` must be a number from 0 to 2, not a string
        400 "temperature" "invalid_value": `temperature` must be a number from 0 to 2, not -0.1
        400 "top_p" "invalid_value": `top_p` must be above 0; for the likeliest token only, set `temperature` 0
        400 "top_p" "invalid_value": `top_p` must be a number from 0 to 1, not 1.1
        400 "top_k" "invalid_value": `top_k` must be a whole number from -1 to 4294967295, not -2
        400 "top_k" "invalid_value": `top_k` must be a whole number from -1 to 4294967295, not 1.5
        400 "min_p" "invalid_value": `min_p` must be a number from 0 to 1, not 2
        400 "max_tokens" "invalid_value": `max_tokens` must be a whole number from 1 to 4294967295, not 0
        400 "max_tokens" "invalid_value": `max_tokens` must be a whole number from 1 to 4294967295, not -1
        400 "max_tokens" "invalid_value": `max_tokens` must be a whole number from 1 to 4294967295, not 1000.0
        400 "max_tokens" "invalid_value": `max_completion_tokens` is 6 and `max_tokens` 5; give one
        400 "n" "invalid_value": `n` must be a whole number from 1 to 128, not 0
        400 "n" "invalid_value": `n` must be a whole number from 1 to 128, not 129
        400 "n" "too_many_answers": the request wants 100 answers (prompts times n or best_of) and this server holds at most 32 at once; ask for fewer
        400 "seed" "invalid_value": `seed` must be a whole number of 64 bits, not 1.5
        400 "priority" "invalid_value": `priority` must be a whole number from -2147483648 to 2147483647, not 2147483648
        400 "priority" "invalid_value": `priority` must be a whole number from -2147483648 to 2147483647, not a string
        400 "queue_timeout_s" "invalid_value": `queue_timeout_s` must be a number from 0 to 86400, not -1
        400 "timeout_s" "invalid_value": `timeout_s` must be a number from 0.001 to 86400, not 0
        400 "stop[1]" "invalid_value": `stop[1]` has 0 bytes, it must have 1 to 1024
        400 "stop" "invalid_value": `stop` has 17 strings, at most 16 are taken
        400 "stop" "invalid_value": `stop` must be a string or a list of them, not an object
        400 "logprobs" "invalid_value": `logprobs` must be true or false, not 1
        400 "top_logprobs" "invalid_value": `top_logprobs` needs `logprobs` to be true
        400 "top_logprobs" "invalid_value": `top_logprobs` must be a whole number from 0 to 20, not 21
        400 "presence_penalty" "invalid_value": `presence_penalty` must be a number from -2 to 2, not 2.5
        400 "repetition_penalty" "invalid_value": `repetition_penalty` must be a number from 0.01 to 10, not 0
        400 "stream" "invalid_value": `stream` must be true or false, not a string
        400 "stream_options" "invalid_value": `stream_options` needs `stream` to be true
        400 "stream_options.include_usage" "invalid_value": `stream_options.include_usage` must be true or false, not 1
        400 "stream_options.other" "unknown_parameter": `stream_options.other` is no field this server knows; remove it or correct its name
        400 "logit_bias" "invalid_value": `logit_bias` must be an object of token ids and numbers, not a list
        400 "logit_bias.50" "invalid_value": `logit_bias.50` must be a number from -100 to 100, not 101
        400 "logit_bias.50" "invalid_value": `logit_bias.50` must be a number from -100 to 100, not a string
        400 "logit_bias.050" "invalid_value": `logit_bias.050` is no token id; it must be a whole number from 0
        400 "logit_bias.-1" "invalid_value": `logit_bias.-1` is no token id; it must be a whole number from 0
        400 "logit_bias" "unknown_token": `logit_bias` has token id 258 and `tiny` knows ids 0 to 257
        400 "stop_token_ids" "invalid_value": `stop_token_ids` must be a list of token ids, not 1
        400 "stop_token_ids[1]" "invalid_value": `stop_token_ids[1]` must be a token id, not -1
        400 "stop_token_ids" "unknown_token": `stop_token_ids` has token id 300 and `tiny` knows ids 0 to 257
        400 "ignore_eos" "invalid_value": `ignore_eos` must be true or false, not 1
        400 "min_tokens" "invalid_value": `min_tokens` must be a whole number from 0 to 4294967295, not -1
        400 "min_tokens" "invalid_value": `min_tokens` is 6, above the 5 that an answer may have; lower it or raise `max_tokens`
        400 "typical_p" "invalid_value": `typical_p` must be above 0; 1 keeps all
        400 "typical_p" "invalid_value": `typical_p` must be a number from 0 to 1, not 1.5
        400 "best_of" "unsupported_parameter": `best_of` is not supported by this server; leave it out
        400 "temprature" "unknown_parameter": `temprature` is no field this server knows; remove it or correct its name
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_completion_that_is_wrong_is_told_what_to_change() {
    let told = refusals(
        "/v1/completions",
        &[
            b"{}",
            br#"{"prompt":""}"#,
            br#"{"prompt":[]}"#,
            br#"{"prompt":{}}"#,
            br#"{"prompt":[1,"a"]}"#,
            br#"{"prompt":["a",1]}"#,
            br#"{"prompt":[300]}"#,
            br#"{"prompt":[[1],[]]}"#,
            br#"{"prompt":"a","echo":1}"#,
            br#"{"prompt":"a","max_tokens":0}"#,
            br#"{"prompt":"a","suffix":"b"}"#,
            br#"{"prompt":"a","n":3,"best_of":2}"#,
            br#"{"prompt":"a","best_of":2,"stream":true}"#,
            br#"{"prompt":"a","best_of":129}"#,
            br#"{"prompt":"a","best_of":40}"#,
            br#"{"prompt":"a","logprobs":true}"#,
            br#"{"prompt":"a","max_completion_tokens":5}"#,
        ],
    )
    .await;
    expect![[r#"
        400 "prompt" "invalid_value": `prompt` is missing; it must be a string, a list of strings, a list of token ids or a list of such lists
        400 "prompt" "empty_prompt": the prompt has no tokens; give at least one character
        400 "prompt" "invalid_value": `prompt` has 0 prompts, it must have 1 to 128
        400 "prompt" "invalid_value": `prompt` must be a string, a list of strings, a list of token ids or a list of such lists, not an object
        400 "prompt[1]" "invalid_value": `prompt[1]` must be a token id, not a string
        400 "prompt[1]" "invalid_value": `prompt[1]` must be a string or a list of token ids, not 1
        400 "prompt" "unknown_token": `prompt` has token id 300 and `tiny` knows ids 0 to 257
        400 "prompt" "empty_prompt": the prompt has no tokens; give at least one character
        400 "echo" "invalid_value": `echo` must be true or false, not 1
        400 "max_tokens" "invalid_value": `max_tokens` must be a whole number from 1 to 4294967295, not 0
        400 "suffix" "unsupported_parameter": `suffix` is not supported by this server; leave it out
        400 "best_of" "invalid_value": `best_of` is 2 and `n` 3; it must be at least `n`
        400 "best_of" "invalid_value": `best_of` above `n` cannot be streamed: the best is known at the end
        400 "best_of" "invalid_value": `best_of` must be a whole number from 1 to 128, not 129
        400 "n" "too_many_answers": the request wants 40 answers (prompts times n or best_of) and this server holds at most 32 at once; ask for fewer
        400 "logprobs" "invalid_value": `logprobs` must be a whole number from 0 to 20, not true
        400 "max_completion_tokens" "unknown_parameter": `max_completion_tokens` is no field this server knows; remove it or correct its name
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn options_that_ask_for_nothing_are_let_pass() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let body = br#"{"messages":[{"role":"developer","content":"d"},
        {"role":"assistant","content":"a","refusal":null,"annotations":[],"tool_calls":null},
        {"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]}],
        "model":"default","tools":[],"tool_choice":"none","response_format":{"type":"text"},
        "logit_bias":{},"stop_token_ids":[],"min_tokens":0,"ignore_eos":false,"typical_p":1,"top_k":-1,"max_tokens":null,"stop":null,"n":1,"user":"someone",
        "parallel_tool_calls":true,"store":false,"metadata":null,"logprobs":false,
        "stream_options":null,"frequency_penalty":0,"seed":-5}"#;
    let reply = server.post(CHAT, body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "[d]ab\nc");
    let body = br#"{"prompt":"a","echo":false,"suffix":null,"best_of":1,"logit_bias":null}"#;
    assert_eq!(server.post("/v1/completions", body).await.status, 200);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_and_never_cut() {
    let long = "x".repeat(600);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{long}"}}]}}"#);
    let told = refusals(CHAT, &[body.as_bytes()]).await;
    expect![[r#"
        400 null "context_length_exceeded": the prompt has 600 tokens and the context of `tiny` holds 512, so no token of an answer would fit; shorten the prompt to at most 511 tokens
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_nest_of_a_hundred_thousand_brackets_is_refused() {
    let nest = [
        br#"{"messages":"#.as_slice(),
        "[".repeat(100_000).as_bytes(),
    ]
    .concat();
    let told = refusals(CHAT, &[&nest]).await;
    assert!(
        told.contains("400") && told.contains("recursion limit"),
        "{told}"
    );
}

#[tokio::test]
async fn a_huge_body_gets_413_whether_it_says_its_length_or_not() {
    let stage = Stage::echo(0);
    let limits = HttpLimits {
        body_bytes_max: 1000,
        ..HttpLimits::default()
    };
    let server = Server::start(&stage.pipeline, limits).await;
    let reply = server.post(CHAT, &[b' '; 5000]).await;
    assert_eq!(
        (
            reply.status,
            reply.json()["error"]["code"].as_str().unwrap()
        ),
        (413, "body_too_large")
    );
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        format!("200\r\n{}\r\n", " ".repeat(512)).repeat(4)
    );
    assert_eq!(server.bytes(chunked.as_bytes()).await.status, 413);
    let mut gigabyte = head("POST", CHAT, 1 << 30);
    gigabyte.extend_from_slice(b"{");
    assert_eq!(server.bytes(&gigabyte).await.status, 413);
}

#[tokio::test]
async fn unknown_paths_and_methods_get_error_objects() {
    let stage = Stage::echo(0);
    let server = Server::start(&stage.pipeline, HttpLimits::default()).await;
    let reply = server.get("/v1/nothing").await;
    assert_eq!(
        (
            reply.status,
            reply.json()["error"]["code"].as_str().unwrap()
        ),
        (404, "unknown_url")
    );
    let reply = server.get(CHAT).await;
    assert_eq!(reply.status, 405);
    assert_eq!(
        reply.json()["error"]["message"],
        "/v1/chat/completions does not take GET"
    );
    assert_eq!(reply.header("allow"), Some("POST"));
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let stage = Stage::echo(0);
    let limits = HttpLimits {
        body_timeout_s: 1,
        head_timeout_s: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(&stage.pipeline, limits).await;
    let mut slow_body = TcpStream::connect(server.address).await.unwrap();
    slow_body.write_all(&head("POST", CHAT, 100)).await.unwrap();
    slow_body.write_all(b"{").await.unwrap();
    let reply = crate::server::read_reply(&mut slow_body).await;
    assert_eq!(reply.status, 408);
    let mut slow_head = TcpStream::connect(server.address).await.unwrap();
    slow_head
        .write_all(b"POST / HTTP/1.1\r\nhost: sco")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut slow_head, &mut rest);
    let closed = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert!(closed.is_ok(), "the connection was closed");
}

const WRONG_TOOLS: [&str; 14] = [
    r#""tools":{}"#,
    r#""tools":[{"type":"function"}]"#,
    r#""tools":[{"type":"retrieval","function":{"name":"f"}}]"#,
    r#""tools":[{"type":"function","function":{"name":"f g"}}]"#,
    r#""tools":[{"type":"function","function":{"name":"f","parameters":"{}"}}]"#,
    r#""tools":[{"type":"function","function":{"name":"f","returns":{}}}]"#,
    r#""tools":[{"type":"function","function":{"name":"f","strict":1}}]"#,
    r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]"#,
    r#""tool_choice":"required""#,
    r#""tool_choice":"sometimes""#,
    r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
    r#""parallel_tool_calls":1"#,
    r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","response_format":{"type":"json_object"}"#,
    r#""tools":[{"type":"function","function":{"name":"f","strict":true}}],"response_format":{"type":"json_object"}"#,
];

#[tokio::test]
async fn tools_that_are_wrong_are_told_what_to_change() {
    let told = refusals_of_options(&WRONG_TOOLS).await;
    expect![[r#"
        400 "tools" "invalid_value": `tools` must be a list, not an object
        400 "tools[0].function" "invalid_value": `tools[0].function` is missing; it must be an object with a `name`
        400 "tools[0].type" "unsupported_parameter": `tools[0].type` is not supported by this server as `retrieval`, only as `function`; leave it out
        400 "tools[0].function.name" "invalid_value": `tools[0].function.name` must have 1 to 64 letters, digits, `_`, `-` or `.`
        400 "tools[0].function.parameters" "invalid_value": `tools[0].function.parameters` must be a JSON Schema, not a string
        400 "tools[0].function.returns" "unknown_parameter": `tools[0].function.returns` is no field this server knows; remove it or correct its name
        400 "tools[0].function.strict" "invalid_value": `tools[0].function.strict` must be true or false, not 1
        400 "tools[1].function.name" "invalid_value": `tools[1].function.name` is `f`, as an earlier one is
        400 "tool_choice" "invalid_value": `tool_choice` requires a call and `tools` has no function
        400 "tool_choice" "invalid_value": `tool_choice` is `sometimes`; this server knows none, auto, required or a function
        400 "tool_choice" "invalid_value": `tool_choice` names `f`, which is not among `tools`
        400 "parallel_tool_calls" "invalid_value": `parallel_tool_calls` must be true or false, not 1
        400 "response_format" "invalid_value": `tool_choice` requires a call and `response_format` another form
        400 "response_format" "invalid_value": a function of `tools` is strict and `response_format` asks for another form
    "#]].assert_eq(&told);
}
