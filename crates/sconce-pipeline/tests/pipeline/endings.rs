//! What ends an answer, and what must not.

use std::time::{Duration, Instant};

use sconce_domain::{BlockSize, Failure, FinishReason, TokenBias, TokenCount, TokenId};
use sconce_engine::fake::FakeExecutor;
use sconce_pipeline::{AnswerRequest, Ask, EndTokens, Prompt, Readiness, Refusal};

use crate::answers::{gather, one, usage};
use crate::stage::{END, Sizes, Stage, completion, eventually};

/// The text of a greedy answer to `prompt`, of which the device says the same again, and its end.
async fn answer(prompt: &str, change: impl FnOnce(&mut AnswerRequest)) -> (String, FinishReason) {
    let stage = Stage::echo(0);
    let mut request = completion(prompt);
    request.options.generated_max = Some(TokenCount(12));
    change(&mut request);
    let (text, reason, _) = one(&stage.pipeline, request).await;
    (text, reason)
}

fn said(text: &str, reason: FinishReason) -> (String, FinishReason) {
    (text.to_owned(), reason)
}

#[tokio::test]
async fn a_stop_token_ends_the_answer_and_is_no_part_of_it() {
    let ended = answer("abcabc", |it| {
        it.options.stop_tokens = vec![TokenId(b'x'.into()), TokenId(b'c'.into())];
    });
    assert_eq!(ended.await, said("ab", FinishReason::Stop));
}

#[tokio::test]
async fn an_end_that_is_ignored_is_a_token_without_text() {
    let ignores = |it: &mut AnswerRequest| it.options.end_tokens = EndTokens::Ignored;
    let ended = answer("abc", ignores).await;
    assert_eq!(ended, said("abc", FinishReason::Length));
    let stop = |it: &mut AnswerRequest| {
        it.options.end_tokens = EndTokens::Ignored;
        it.options.stop_tokens = vec![END];
    };
    assert_eq!(answer("abc", stop).await, said("abc", FinishReason::Stop));
}

#[tokio::test]
async fn neither_end_nor_stop_token_comes_before_the_least_tokens() {
    let at_least = |tokens: u32| {
        answer("abc", move |it| {
            it.options.generated_min = TokenCount(tokens)
        })
    };
    assert_eq!(at_least(3).await, said("abc", FinishReason::Stop));
    assert_eq!(at_least(5).await, said("abc~~", FinishReason::Stop));
    assert_eq!(
        at_least(12).await,
        said("abc~~~~~~~~~", FinishReason::Length)
    );
    let stopped = answer("abcabc", |it| {
        it.options.generated_min = TokenCount(3);
        it.options.stop_tokens = vec![TokenId(b'c'.into())];
    });
    assert_eq!(stopped.await, said("ab~ab", FinishReason::Stop));
}

#[tokio::test]
async fn a_stop_string_counts_once_it_ends_behind_the_least_tokens() {
    let stopping = |tokens: u32, stop: &str| {
        let stop = vec![stop.to_owned()];
        answer("xabxab!", move |it| {
            it.options.generated_min = TokenCount(tokens);
            it.options.stop = stop;
        })
    };
    assert_eq!(stopping(2, "ab").await, said("x", FinishReason::Stop));
    assert_eq!(stopping(3, "ab").await, said("xabx", FinishReason::Stop));
    assert_eq!(stopping(5, "ab").await, said("xabx", FinishReason::Stop));
    assert_eq!(stopping(6, "ab").await, said("xabxab!", FinishReason::Stop));
    assert_eq!(stopping(7, "b!").await, said("xabxab!", FinishReason::Stop));
}

#[tokio::test]
async fn a_field_that_names_an_unknown_token_is_refused_by_name() {
    let stage = Stage::echo(0);
    let unknown = TokenId(258);
    let refused = async |change: &dyn Fn(&mut AnswerRequest)| {
        let mut request = completion("a");
        change(&mut request);
        stage.pipeline.answer(request).await.unwrap_err()
    };
    let expected = |field: &'static str| Refusal::UnknownToken {
        field,
        model: "tiny".to_owned(),
        token: 258,
        last: 257,
    };
    let stops = |it: &mut AnswerRequest| it.options.stop_tokens = vec![END, unknown];
    assert_eq!(refused(&stops).await, expected("stop_token_ids"));
    let bias = |it: &mut AnswerRequest| {
        it.options.bias = [(END, 1.0), (unknown, -1.0)]
            .map(|(token, bias)| TokenBias { token, bias })
            .into();
    };
    assert_eq!(refused(&bias).await, expected("logit_bias"));
}

#[tokio::test]
async fn an_answer_whose_time_is_over_breaks_off_and_leaves_the_engine() {
    let stage = Stage::echo(10);
    let mut request = completion(&"x".repeat(300));
    request.options.answers = 2;
    request.options.time_max = Some(Duration::from_millis(150));
    let begun = Instant::now();
    let (answers, used) = gather(stage.pipeline.answer(request).await.unwrap()).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(2));
    for answer in answers {
        let late = FinishReason::Failed(Failure::Deadline);
        assert_eq!(answer.reason, Some(late));
        assert!((1..300).contains(&answer.text.len()), "{}", answer.text);
    }
    assert!(used.unwrap().completion.0 > 0);
    let engine = stage.engine.handle();
    eventually("the engine is empty", || engine.status().running == 0).await;
    let mut request = completion("abc");
    request.options.time_max = Some(Duration::from_secs(60));
    assert_eq!(one(&stage.pipeline, request).await.0, "abc");
}

#[tokio::test]
async fn a_device_that_fails_ends_the_answer_and_serves_the_next() {
    let stage = Stage::echo(0);
    let (text, reason, _) = one(&stage.pipeline, completion("ab\u{1}c")).await;
    assert_eq!(
        (text.as_str(), reason),
        ("ab", FinishReason::Failed(Failure::Device))
    );
    assert_eq!(stage.pipeline.readiness(), Readiness::Ready);
    assert_eq!(one(&stage.pipeline, completion("next")).await.0, "next");
}

#[tokio::test]
async fn nobody_finds_in_the_cache_what_a_step_wrote_that_panicked() {
    let poison = TokenId(256);
    let fake = FakeExecutor::new(BlockSize::new(16).unwrap(), 256).panicking_on(poison);
    let stage = Stage::new(fake, Sizes::default());
    let begins = async |last: TokenId| {
        let mut prompt = vec![TokenId(65); 40];
        prompt.push(last);
        let mut request = completion("");
        request.ask = Ask::Completion(vec![Prompt::Tokens(prompt)]);
        request.options.generated_max = Some(TokenCount(2));
        one(&stage.pipeline, request).await
    };
    let (_, reason, used) = begins(poison).await;
    assert_eq!(
        (reason, used),
        (FinishReason::Failed(Failure::Device), usage(41, 0, 0))
    );
    let (_, reason, used) = begins(TokenId(66)).await;
    assert_eq!((reason, used), (FinishReason::Length, usage(41, 0, 2)));
    let (_, _, used) = begins(TokenId(67)).await;
    assert_eq!(
        used.cached,
        TokenCount(32),
        "what a sound step wrote is found"
    );
}
