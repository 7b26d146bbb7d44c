//! What is asked for is what comes, streamed or whole.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::{CHAT, COMPLETIONS, Server};

const PROMPT: &str = "Colours: red, green,";

fn text(answer: &Value, index: usize) -> &str {
    answer["choices"][index]["text"].as_str().unwrap()
}

/// A completion of [`PROMPT`] with more options.
async fn ask(server: &Server, options: Value) -> Value {
    let mut request = json!({"prompt": PROMPT, "max_tokens": 24, "temperature": 0});
    let fields = request.as_object_mut().unwrap();
    fields.extend(options.as_object().unwrap().clone());
    server.whole(COMPLETIONS, &request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_honoured() {
    let server = Server::start(&[]).await;
    let seeded = async |seed: u64| {
        let answer = ask(&server, json!({"temperature": 1, "seed": seed})).await;
        text(&answer, 0).to_owned()
    };
    assert_eq!(seeded(7).await, seeded(7).await);
    assert_ne!(seeded(7).await, seeded(8).await);
    let two = ask(&server, json!({"n": 2, "seed": 3, "temperature": 1})).await;
    assert_ne!(text(&two, 0), text(&two, 1));
    assert_eq!(two["choices"].as_array().unwrap().len(), 2);

    let greedy = ask(&server, json!({})).await;
    assert_eq!(greedy["choices"][0]["finish_reason"], "length");
    assert_eq!(greedy["usage"]["completion_tokens"], 24);
    let stopped = ask(&server, json!({"stop": [","]})).await;
    assert_eq!(
        text(&stopped, 0),
        text(&greedy, 0).split(',').next().unwrap()
    );
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    for penalty in [
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
    ] {
        let penalised = ask(&server, json!({ penalty: 2 })).await;
        assert_ne!(
            text(&penalised, 0),
            text(&greedy, 0),
            "{penalty} changes nothing"
        );
    }
    // Each of these leaves only the likeliest token.
    for only_one in [
        json!({"top_k": 1}),
        json!({"top_p": 1e-6}),
        json!({"min_p": 1}),
    ] {
        let mut options = only_one.clone();
        options["temperature"] = json!(1);
        let answer = ask(&server, options).await;
        assert_eq!(text(&answer, 0), text(&greedy, 0), "{only_one}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_an_answer_and_what_is_biased_is_honoured() {
    let server = Server::start(&[]).await;
    // The first words of the greedy answer, by the server's own tokens.
    let greedy = ask(&server, json!({"logprobs": 0})).await;
    let forced = json!({"logit_bias": {"28": 100}, "max_tokens": 4, "logprobs": 0});
    let forced = ask(&server, forced).await;
    let tokens = &forced["choices"][0]["logprobs"]["tokens"];
    let first = tokens[0].clone();
    assert_eq!(*tokens, json!([first, first, first, first]));
    assert_ne!(
        text(&forced, 0),
        &text(&greedy, 0)[..text(&forced, 0).len()]
    );

    let stopped = json!({"logit_bias": {"28": 100}, "stop_token_ids": [28]});
    let stopped = ask(&server, stopped).await;
    assert_eq!(text(&stopped, 0), "");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let late = json!({"logit_bias": {"28": 100}, "stop_token_ids": [28], "min_tokens": 3});
    let late = ask(&server, late).await;
    assert_eq!(late["usage"]["completion_tokens"], 3);
    assert_eq!(late["choices"][0]["finish_reason"], "stop");

    // Token 2 ends this model's answers.
    let ends = ask(&server, json!({"logit_bias": {"2": 100}})).await;
    assert_eq!(ends["choices"][0]["finish_reason"], "stop");
    assert_eq!(ends["usage"]["completion_tokens"], 0);
    let goes_on = ask(
        &server,
        json!({"logit_bias": {"2": 100}, "ignore_eos": true}),
    )
    .await;
    assert_eq!(goes_on["choices"][0]["finish_reason"], "length");
    assert_eq!(goes_on["usage"]["completion_tokens"], 24);
    assert_eq!(text(&goes_on, 0), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_of_several_is_the_one_of_the_highest_mean_log_probability() {
    let server = Server::start(&[]).await;
    let drawn = json!({"temperature": 1.5, "seed": 11, "logprobs": 0, "max_tokens": 6});
    let with = async |name: &str, count: u32| {
        let mut options = drawn.clone();
        options[name] = json!(count);
        ask(&server, options).await
    };
    let mean = |choice: &Value| {
        let logprobs = choice["logprobs"]["token_logprobs"].as_array().unwrap();
        let sum: f64 = logprobs.iter().map(|it| it.as_f64().unwrap()).sum();
        sum / logprobs.len() as f64
    };
    let (all, best) = (with("n", 4).await, with("best_of", 4).await);
    let mut all = all["choices"].as_array().unwrap().clone();
    all.sort_by(|one, other| mean(other).total_cmp(&mean(one)));
    assert!(mean(&all[0]) > mean(&all[3]), "all four are alike");
    assert_eq!(best["choices"].as_array().unwrap().len(), 1);
    assert_eq!(best["choices"][0]["text"], all[0]["text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_come_in_both_shapes_streamed_or_whole() {
    let server = Server::start(&[]).await;
    let legacy = ask(&server, json!({"logprobs": 3})).await;
    let lists = &legacy["choices"][0]["logprobs"];
    let (own, top) = (
        &lists["token_logprobs"],
        lists["top_logprobs"].as_array().unwrap(),
    );
    assert_eq!((own.as_array().unwrap().len(), top.len()), (24, 24));
    assert!(own[0].as_f64().unwrap() <= 0.0 && top[0].as_object().unwrap().len() == 3);

    let request = json!({
        "messages": [{"role": "user", "content": "Name two fruits."}],
        "temperature": 0, "max_tokens": 12, "logprobs": true, "top_logprobs": 2,
    });
    let whole = server.whole(CHAT, &request).await;
    let streamed = server.streamed(CHAT, &request).await.finish().await;
    assert_eq!(
        whole["choices"][0]["logprobs"]["content"],
        json!(streamed.logprobs)
    );
    assert_eq!(streamed.logprobs.len() as u64, streamed.tokens);
    let mut bytes = Vec::new();
    for token in &streamed.logprobs {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        // At temperature zero the chosen token is the likeliest one.
        assert_eq!(top[0]["logprob"], token["logprob"]);
        let token_bytes = token["bytes"].as_array().unwrap().iter();
        bytes.extend(token_bytes.map(|it| u8::try_from(it.as_u64().unwrap()).unwrap()));
    }
    assert!(
        bytes.starts_with(streamed.text.as_bytes()),
        "the tokens' bytes are not the text"
    );
}

/// Checks one request on both ways, and returns the text.
async fn streamed_as_whole(server: &Server, path: &str, request: &Value) -> String {
    let whole = server.whole(path, request).await;
    let choice = &whole["choices"][0];
    let said = choice["text"]
        .as_str()
        .or(choice["message"]["content"].as_str());
    let streamed = server.streamed(path, request).await.finish().await;
    assert_eq!(streamed.text, said.unwrap(), "{request}");
    assert_eq!(streamed.finish_reason, choice["finish_reason"], "{request}");
    assert_eq!(
        streamed.tokens, whole["usage"]["completion_tokens"],
        "{request}"
    );
    streamed.text
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_every_script_say_what_the_whole_answer_says() {
    let server = Server::start(&[]).await;
    let fruits = "🍎 🍐 🍊 🍋 🍌 🍉 🍇 🍓 🍎 🍐 🍊 🍋 🍌 🍉 🍇 🍓 🍎";
    let capital = "日本の首都は東京です。日本の首都は東京です。日本の首都は";
    let prompts = [
        fruits,
        capital,
        "Привет, как",
        "한국의 수도는",
        "שלום",
        "naïve café — “",
    ];
    let mut requests = Vec::new();
    for (prompt, temperature) in prompts.iter().flat_map(|it| [(it, 0), (it, 1)]) {
        let with = |name: &str, value: Value| json!({name: value, "max_tokens": 32, "temperature": temperature, "seed": 5});
        let messages = json!([{"role": "user", "content": prompt}]);
        requests.push((CHAT, with("messages", messages)));
        requests.push((COMPLETIONS, with("prompt", json!(prompt))));
    }
    let all = requests
        .iter()
        .map(|(path, request)| streamed_as_whole(&server, path, request));
    let texts = join_all(all).await;
    let beyond_ascii = texts
        .iter()
        .filter(|it| it.contains(['🍐', '東', 'к']))
        .count();
    assert!(
        beyond_ascii > 2,
        "hardly any answer had characters of many bytes"
    );
}
