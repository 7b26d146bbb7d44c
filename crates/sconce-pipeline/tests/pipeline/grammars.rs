//! Answers that are held to a grammar, and grammars that are refused.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sconce_domain::{Failure, FinishReason, Grammar};
use sconce_pipeline::{AnswerEvent, AnswerRequest, AskedGrammar, Pipeline, Refusal};

use crate::answers::one;
use crate::stage::{Stage, completion};

const FIELD: &str = "the field";

fn held_to(prompt: &str, grammar: Grammar) -> AnswerRequest {
    let mut request = completion(prompt);
    request.options.grammar = Some(AskedGrammar {
        field: FIELD,
        grammar,
    });
    request
}

fn choice(text: &str) -> Grammar {
    Grammar::Choice(vec![text.to_owned()])
}

fn regex(what: &str) -> Grammar {
    Grammar::Regex(what.to_owned())
}

async fn refusal(pipeline: &Pipeline, grammar: Grammar) -> Refusal {
    let answer = pipeline.answer(held_to("abc", grammar)).await;
    answer.expect_err("the grammar is refused")
}

/// How many grammars were compiled so far.
async fn compiled(pipeline: &Pipeline) -> String {
    match refusal(pipeline, regex("how many?")).await {
        Refusal::Grammar { field, fact } => {
            assert_eq!(field, FIELD);
            fact
        }
        other => panic!("another refusal: {other}"),
    }
}

#[tokio::test]
async fn an_answer_is_held_to_its_grammar() {
    let stage = Stage::echo(0);
    let free = one(&stage.pipeline, completion("abc")).await;
    assert_eq!(free.0, "abc");
    let held = one(&stage.pipeline, held_to("abc", choice("yes"))).await;
    assert_eq!((held.0.as_str(), held.1), ("yes", FinishReason::Stop));
}

#[tokio::test]
async fn each_answer_of_a_request_follows_the_grammar_by_itself() {
    let stage = Stage::echo(0);
    let mut request = held_to("abc", choice("yes"));
    request.options.answers = 3;
    let mut stream = stage.pipeline.answer(request).await.unwrap();
    let mut texts = vec![String::new(); 3];
    while let Some(event) = stream.next().await {
        if let AnswerEvent::Piece { choice, text, .. } = event {
            texts[choice as usize].push_str(&text);
        }
    }
    assert_eq!(texts, ["yes", "yes", "yes"]);
}

#[tokio::test]
async fn a_grammar_is_compiled_once_and_kept_while_others_are_not_too_many() {
    let stage = Stage::echo(0);
    let answer = async |text: &str| one(&stage.pipeline, held_to("abc", choice(text))).await.0;
    for _ in 0..3 {
        assert_eq!(answer("yes").await, "yes");
    }
    assert_eq!(compiled(&stage.pipeline).await, "1 grammars were compiled");
    for other in 0..31 {
        answer(&other.to_string()).await;
        answer("yes").await;
    }
    assert_eq!(compiled(&stage.pipeline).await, "32 grammars were compiled");
    answer("one too many").await;
    answer("yes").await;
    assert_eq!(compiled(&stage.pipeline).await, "33 grammars were compiled");
    answer("0").await;
    assert_eq!(compiled(&stage.pipeline).await, "34 grammars were compiled");
}

#[tokio::test]
async fn a_grammar_that_takes_too_long_is_refused_within_a_second_and_others_go_on() {
    let stage = Stage::echo(1);
    let begun = Instant::now();
    let (slow, too, late, other) = tokio::join!(
        refusal(&stage.pipeline, regex("slow")),
        refusal(&stage.pipeline, regex("slow")),
        async {
            // Both slots are taken by now.
            tokio::time::sleep(Duration::from_millis(50)).await;
            refusal(&stage.pipeline, choice("yes")).await
        },
        async {
            let text = "abcdefghij".repeat(8);
            let answer = one(&stage.pipeline, completion(&text)).await;
            assert_eq!(answer.0, text);
            begun.elapsed()
        },
    );
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert!(other < took, "the other had to wait: {other:?}");
    for refused in [slow, too] {
        assert!(
            matches!(refused, Refusal::GrammarTooSlow { field: FIELD, .. }),
            "{refused}"
        );
    }
    assert_eq!(late, Refusal::CompilersBusy { retry_after_s: 1 });
    assert_eq!(stage.pipeline.answers_open(), 0);
}

#[tokio::test]
async fn a_compiler_that_panics_refuses_that_grammar_only() {
    let stage = Stage::echo(0);
    let refused = refusal(&stage.pipeline, regex("panic")).await;
    assert!(
        matches!(refused, Refusal::Grammar { field: FIELD, .. }),
        "{refused}"
    );
    let held = one(&stage.pipeline, held_to("abc", choice("yes"))).await;
    assert_eq!(held.0, "yes");
}

#[tokio::test]
async fn a_constraint_that_breaks_ends_its_own_answer_as_failed() {
    let stage = Stage::echo(1);
    let text = "abcdefghij".repeat(4);
    let (broken, whole) = tokio::join!(
        one(&stage.pipeline, held_to("abc", choice("broken"))),
        one(&stage.pipeline, completion(&text)),
    );
    assert_eq!(
        (broken.0.as_str(), broken.1),
        ("", FinishReason::Failed(Failure::Form))
    );
    assert_eq!(whole.0, text);
    assert_eq!(stage.engine.handle().status().blocks_referenced, 0);
}
