//! What ends an answer, and what must not.

use sconce_domain::{FinishReason, TokenBias, TokenCount, TokenId};
use sconce_pipeline::{AnswerRequest, EndTokens, Refusal};

use crate::answers::one;
use crate::stage::{END, Stage, completion};

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
