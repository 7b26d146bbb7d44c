//! Requests through a whole pipeline, with a device that says the prompt again.

use std::time::Duration;

use crate::stage::{Sizes, Stage, chat, completion, eventually, open};
use futures_util::StreamExt;
use sconce_domain::{BlockSize, Failure, FinishReason, TokenCount, TokenId, Usage};
use sconce_engine::fake::FakeExecutor;
use sconce_pipeline::{
    AnswerEvent, AnswerRequest, AnswerStream, Ask, Pipeline, Prompt, Readiness, Refusal,
    TokenReport,
};

/// One answer, gathered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenReport>,
    pub(crate) reason: Option<FinishReason>,
}

pub(crate) async fn gather(mut stream: AnswerStream) -> (Vec<Answer>, Option<Usage>) {
    let (mut answers, mut used) = (Vec::<Answer>::new(), None);
    while let Some(event) = stream.next().await {
        assert_eq!(used, None, "nothing comes after the end");
        let mut slot = |choice: u32| {
            let index = choice as usize;
            answers.resize(answers.len().max(index + 1), Answer::default());
            std::mem::take(&mut answers[index])
        };
        match event {
            AnswerEvent::Piece {
                choice,
                text,
                tokens,
            } => {
                let mut answer = slot(choice);
                assert!(
                    !text.is_empty() || !tokens.is_empty(),
                    "an empty piece says nothing"
                );
                answer.text.push_str(&text);
                answer.tokens.extend(tokens);
                answers[choice as usize] = answer;
            }
            AnswerEvent::Finished { choice, reason, .. } => {
                let answer = slot(choice);
                answers[choice as usize] = Answer {
                    reason: Some(reason),
                    ..answer
                };
            }
            AnswerEvent::Done(usage) => used = Some(usage),
            AnswerEvent::Thought { .. } | AnswerEvent::Call { .. } => {
                panic!("nobody thinks or calls here")
            }
        }
    }
    (answers, used)
}

pub(crate) async fn one(
    pipeline: &Pipeline,
    request: AnswerRequest,
) -> (String, FinishReason, Usage) {
    let (answers, used) = gather(pipeline.answer(request).await.unwrap()).await;
    let [answer] = &answers[..] else {
        panic!("one answer was asked for")
    };
    (answer.text.clone(), answer.reason.unwrap(), used.unwrap())
}

pub(crate) fn usage(prompt: u32, cached: u32, completion: u32) -> Usage {
    Usage {
        prompt: TokenCount(prompt),
        cached: TokenCount(cached),
        completion: TokenCount(completion),
    }
}

#[tokio::test]
async fn a_text_is_continued_until_the_model_stops() {
    let stage = Stage::echo(0);
    let (text, reason, used) = one(&stage.pipeline, completion("grüß 🦀 dich")).await;
    assert_eq!(
        (text.as_str(), reason),
        ("grüß 🦀 dich", FinishReason::Stop)
    );
    assert_eq!(used, usage(16, 0, 16));
}

#[tokio::test]
async fn a_chat_is_rendered_by_the_models_template() {
    let stage = Stage::echo(0);
    let mut request = chat("hello");
    if let Ask::Chat(messages) = &mut request.ask {
        let system = sconce_domain::Role::System;
        messages.insert(0, sconce_domain::Message::text(system, "be"));
    }
    assert_eq!(one(&stage.pipeline, request).await.0, "[be]hello");
}

#[tokio::test]
async fn an_answer_ends_at_the_bound_or_at_the_contexts_end() {
    let stage = Stage::new(
        crate::stage::Echo {
            step: Duration::ZERO,
        },
        Sizes {
            context: 12,
            ..Sizes::default()
        },
    );
    let mut bounded = completion("abcdefgh");
    bounded.options.generated_max = Some(TokenCount(3));
    let (text, reason, _) = one(&stage.pipeline, bounded).await;
    assert_eq!((text.as_str(), reason), ("abc", FinishReason::Length));
    let mut too_generous = completion("abcdefgh");
    too_generous.options.generated_max = Some(TokenCount(1000));
    let (text, reason, _) = one(&stage.pipeline, too_generous).await;
    assert_eq!((text.as_str(), reason), ("abcd", FinishReason::Length));
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_frees_the_engine() {
    let stage = Stage::echo(3);
    let mut request = completion(&format!("one two{}", "x".repeat(200)));
    request.options.stop = vec![" two".to_owned()];
    let mut stream = stage.pipeline.answer(request).await.unwrap();
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        match event {
            AnswerEvent::Piece { text: piece, .. } => text.push_str(&piece),
            AnswerEvent::Finished { reason, .. } => {
                assert_eq!(reason, FinishReason::Stop);
                break;
            }
            _ => panic!("the end comes after the finish, and nothing else is expected"),
        }
    }
    assert_eq!(text, "one");
    let engine = stage.engine.handle();
    eventually("the engine is idle while the stream is still held", || {
        engine.status().blocks_referenced == 0
    })
    .await;
    let Some(AnswerEvent::Done(used)) = stream.next().await else {
        panic!("the usage is last")
    };
    assert_eq!(used, usage(207, 0, 7));
}

#[tokio::test]
async fn log_probabilities_cover_the_text_and_nothing_behind_a_stop_string() {
    let stage = Stage::echo(0);
    let mut request = completion("a🦀b, and more");
    request.options.logprobs = Some(2);
    request.options.stop = vec!["nd".to_owned()];
    let (answers, _) = gather(stage.pipeline.answer(request).await.unwrap()).await;
    assert_eq!(answers[0].text, "a🦀b, a");
    let bytes: Vec<u8> = answers[0]
        .tokens
        .iter()
        .flat_map(|it| it.chosen.bytes.clone())
        .collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), "a🦀b, a");
    let offsets: Vec<u32> = answers[0].tokens.iter().map(|it| it.offset_chars).collect();
    assert_eq!(offsets, [0, 1, 1, 1, 1, 2, 3, 4, 5]);
    assert!(
        answers[0]
            .tokens
            .iter()
            .all(|it| it.top.len() == 2 && it.top[0] == it.chosen)
    );
}

#[tokio::test]
async fn several_answers_to_several_prompts_keep_their_places() {
    let stage = Stage::echo(0);
    let mut request = completion("");
    let prompts = [
        Prompt::Text("one".to_owned()),
        Prompt::Tokens(vec![TokenId(50)]),
    ];
    request.ask = Ask::Completion(prompts.to_vec());
    request.options.answers = 2;
    let (answers, used) = gather(stage.pipeline.answer(request).await.unwrap()).await;
    let texts: Vec<&str> = answers.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["one", "one", "2", "2"]);
    assert_eq!(used, Some(usage(4, 0, 8)));
}

#[tokio::test]
async fn a_seed_repeats_answers_and_answers_of_one_request_differ() {
    let fake = FakeExecutor::new(BlockSize::new(16).unwrap(), 257);
    let stage = Stage::new(fake, Sizes::default());
    let request = |seed| {
        let mut request = completion("seed");
        request.options.temperature = 1.0;
        request.options.answers = 3;
        request.options.seed = seed;
        request.options.generated_max = Some(TokenCount(20));
        request
    };
    let mut texts = Vec::new();
    for seed in [Some(5), Some(5), None, None] {
        let stream = stage.pipeline.answer(request(seed)).await.unwrap();
        texts.push(
            gather(stream)
                .await
                .0
                .into_iter()
                .map(|it| it.text)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[2], texts[3]);
    assert_ne!(texts[0][0], texts[0][1]);
    assert_ne!(texts[0][1], texts[0][2]);
}

#[tokio::test]
async fn many_streams_at_once_each_say_what_they_say_alone() {
    let fake = || FakeExecutor::new(BlockSize::new(16).unwrap(), 257);
    let prompts: Vec<String> = (0..32)
        .map(|it| format!("prompt {it} ").repeat(it + 1))
        .collect();
    let mut alone = Vec::new();
    let solo = Stage::new(
        fake(),
        Sizes {
            context: 600,
            ..Sizes::default()
        },
    );
    for prompt in &prompts {
        alone.push(one(&solo.pipeline, completion(prompt)).await);
    }
    let crowd = Stage::new(
        fake(),
        Sizes {
            context: 600,
            ..Sizes::default()
        },
    );
    let together = prompts
        .iter()
        .map(|it| one(&crowd.pipeline, completion(it)));
    let together = futures_util::future::join_all(together).await;
    let texts = |of: &[(String, FinishReason, Usage)]| -> Vec<(String, FinishReason)> {
        of.iter().map(|it| (it.0.clone(), it.1)).collect()
    };
    assert_eq!(texts(&together), texts(&alone));
}

#[tokio::test]
async fn dropping_a_stream_cancels_it_and_gives_its_place_back() {
    let stage = Stage::echo(3);
    let engine = stage.engine.handle();
    let mut streams = Vec::new();
    for index in 0..6 {
        let prompt = format!("{index}{}", "x".repeat(200));
        let mut stream = stage.pipeline.answer(completion(&prompt)).await.unwrap();
        assert!(matches!(
            stream.next().await,
            Some(AnswerEvent::Piece { .. })
        ));
        streams.push(stream);
    }
    assert_eq!(
        (engine.status().running, stage.pipeline.answers_open()),
        (6, 6)
    );
    streams.truncate(2);
    assert_eq!(stage.pipeline.answers_open(), 2);
    eventually("only two sequences are left", || {
        engine.status().running == 2
    })
    .await;
    drop(streams);
    eventually("no block is referenced", || {
        engine.status().blocks_referenced == 0
    })
    .await;
    let text = stage.pipeline.metrics().text();
    let aborted = "vllm:request_success_total{engine=\"0\",finished_reason=\"abort\",\
                   model_name=\"tiny\"} 6";
    assert!(text.contains(aborted), "{text}");
    assert!(text.contains("sconce_kv_blocks_referenced{engine=\"0\",model_name=\"tiny\"} 0"));
}

#[tokio::test]
async fn a_device_that_panics_ends_the_answers_of_its_step_and_no_others() {
    let sizes = Sizes {
        running_max: 2,
        ..Sizes::default()
    };
    let echo = crate::stage::Echo {
        step: Duration::from_millis(2),
    };
    let stage = Stage::new(echo, sizes);
    let answer = async |prompt: &str| stage.pipeline.answer(completion(prompt)).await.unwrap();
    let beside = answer(&"x".repeat(300)).await;
    let culprit = answer("ab\u{2}c").await;
    let waiting = answer("patient").await;
    for (stream, text) in [(culprit, "ab"), (beside, "xx")] {
        let (answers, _) = gather(stream).await;
        assert!(answers[0].text.starts_with(text), "{:?}", answers[0]);
        assert_eq!(
            answers[0].reason,
            Some(FinishReason::Failed(Failure::Device))
        );
    }
    let (answers, _) = gather(waiting).await;
    assert_eq!(answers[0].text, "patient");
    assert_eq!(answers[0].reason, Some(FinishReason::Stop));
    assert_eq!(stage.pipeline.readiness(), Readiness::Ready);
    assert_eq!(one(&stage.pipeline, completion("next")).await.0, "next");
    assert_eq!(stage.engine.handle().status().blocks_referenced, 0);
}

#[tokio::test]
async fn an_engine_that_panics_ends_every_stream_and_the_server_says_so() {
    let stage = Stage::echo(2);
    let bystander = stage
        .pipeline
        .answer(completion(&"x".repeat(300)))
        .await
        .unwrap();
    let (text, reason, _) = one(&stage.pipeline, completion("ab\u{3}c")).await;
    assert_eq!(
        (text.as_str(), reason),
        ("ab", FinishReason::Failed(Failure::Device))
    );
    let (answers, _) = gather(bystander).await;
    assert_eq!(
        answers[0].reason,
        Some(FinishReason::Failed(Failure::Device))
    );
    let model = "tiny".to_owned();
    assert_eq!(
        stage.pipeline.readiness(),
        Readiness::Failed {
            model: model.clone(),
            fact: "its engine has stopped after a fault".to_owned()
        }
    );
    let refusal = stage.pipeline.answer(completion("next")).await.unwrap_err();
    assert_eq!(refusal, Refusal::EngineStopped { model });
}

#[tokio::test]
async fn a_pipeline_refuses_while_it_loads_and_while_it_drains() {
    let limits = sconce_pipeline::AdmissionLimits {
        running_max: 2,
        queue_max: 2,
        wait_max: None,
    };
    let pipeline = Pipeline::new(limits);
    assert_eq!(pipeline.readiness(), Readiness::Loading);
    let refusal = pipeline.answer(completion("early")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Loading { .. }), "{refusal}");
    let _engine = open(
        &pipeline,
        crate::stage::Echo {
            step: Duration::ZERO,
        },
        Sizes::default(),
    );
    assert_eq!(pipeline.readiness(), Readiness::Ready);
    let running = pipeline.answer(completion("begun")).await.unwrap();
    pipeline.begin_drain();
    assert_eq!(pipeline.readiness(), Readiness::Draining);
    assert_eq!(
        pipeline.answer(completion("late")).await.unwrap_err(),
        Refusal::Draining
    );
    let waited = tokio::time::timeout(Duration::from_millis(30), pipeline.idle()).await;
    assert!(waited.is_err(), "a request is still open");
    assert_eq!(gather(running).await.0[0].text, "begun");
    pipeline.idle().await;
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_refused_with_numbers() {
    let sizes = Sizes {
        running_max: 1,
        queue_max: 1,
        context: 8,
        ..Sizes::default()
    };
    let stage = Stage::new(
        crate::stage::Echo {
            step: Duration::from_millis(20),
        },
        sizes,
    );
    let refuse = async |request| {
        stage
            .pipeline
            .answer(request)
            .await
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse(completion("12345678")).await,
        "the prompt has 8 tokens and the context of `tiny` holds 8, so no token of an answer would \
         fit; shorten the prompt to at most 7 tokens"
    );
    let unknown = AnswerRequest {
        model: Some("other".to_owned()),
        ..completion("a")
    };
    assert_eq!(
        refuse(unknown).await,
        "the model `other` is not served here; use one of: tiny, tiny-alias, default"
    );
    assert!(
        refuse(completion(""))
            .await
            .starts_with("the prompt has no tokens")
    );
    let ask = Ask::Completion(vec![Prompt::Tokens(vec![TokenId(258)])]);
    assert_eq!(
        refuse(AnswerRequest {
            ask,
            ..completion("")
        })
        .await,
        "`prompt` has token id 258 and `tiny` knows ids 0 to 257"
    );
    assert_eq!(
        stage.pipeline.answers_open(),
        0,
        "a refused request holds no place"
    );
}

#[tokio::test]
async fn a_request_beyond_the_places_is_refused_until_one_is_given_back() {
    let sizes = Sizes {
        running_max: 1,
        queue_max: 1,
        context: 8,
        ..Sizes::default()
    };
    let echo = crate::stage::Echo {
        step: Duration::from_millis(20),
    };
    let stage = Stage::new(echo, sizes);
    let first = stage.pipeline.answer(completion("abcdef")).await.unwrap();
    let second = stage.pipeline.answer(completion("abcdef")).await.unwrap();
    let refusal = stage.pipeline.answer(completion("abc")).await.unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("the server is busy: 2 of its 2 places")
    );
    drop((first, second));
    let named = AnswerRequest {
        model: Some("tiny-alias".to_owned()),
        ..completion("abc")
    };
    assert_eq!(one(&stage.pipeline, named).await.0, "abc");
}
