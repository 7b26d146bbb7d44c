//! Answers that begin with their prompt.

use std::time::Duration;

use sconce_domain::{Failure, FinishReason, TokenCount, TokenId, Usage};
use sconce_pipeline::{AnswerRequest, Ask, Prompt, TokenReport};

use crate::answers::{Answer, gather};
use crate::stage::{END, Stage, completion};

async fn ask(stage: &Stage, request: AnswerRequest) -> (Vec<Answer>, Usage) {
    let (answers, used) = gather(stage.pipeline.answer(request).await.unwrap()).await;
    (answers, used.unwrap())
}

fn echoing(prompt: &str, generated_max: u32, logprobs: Option<u8>) -> AnswerRequest {
    let mut request = completion(prompt);
    request.options.echoes = true;
    request.options.generated_max = Some(TokenCount(generated_max));
    request.options.logprobs = logprobs;
    request
}

/// What is told of each token: its text, its probability's logarithm and where it begins.
fn told(reports: &[TokenReport]) -> Vec<(&str, Option<f32>, u32)> {
    let told = |it: &TokenReport| (it.chosen.logprob, it.offset_chars);
    let texts = reports.iter().map(|it| it.chosen.text.as_str());
    let rest = reports.iter().map(told);
    texts
        .zip(rest)
        .map(|(text, (logprob, offset))| (text, logprob, offset))
        .collect()
}

#[tokio::test]
async fn an_answer_goes_on_from_its_prompt() {
    let stage = Stage::echo(0);
    let (answers, used) = ask(&stage, echoing("grün, ", 4, None)).await;
    assert_eq!(answers[0].text, "grün, grü");
    assert!(answers[0].tokens.is_empty());
    assert_eq!(answers[0].reason, Some(FinishReason::Length));
    assert_eq!(
        (used.prompt, used.completion),
        (TokenCount(7), TokenCount(4))
    );
}

#[tokio::test]
async fn every_token_of_the_prompt_is_told_with_its_probability() {
    let stage = Stage::echo(0);
    let (answers, _) = ask(&stage, echoing("abc", 2, Some(1))).await;
    let expected = [
        ("a", None, 0),
        ("b", Some(-1.0), 1),
        ("c", Some(-0.5), 2),
        ("a", Some(-0.5), 3),
        ("b", Some(-0.5), 4),
    ];
    assert_eq!(told(&answers[0].tokens), expected);
    assert!(answers[0].tokens[0].top.is_empty());
    assert_eq!(
        answers[0].tokens[1].top,
        [answers[0].tokens[1].chosen.clone()]
    );
    let one = ask(&stage, echoing("a", 1, Some(0))).await.0;
    assert_eq!(told(&one[0].tokens), [("a", None, 0), ("a", Some(-0.5), 1)]);
}

#[tokio::test]
async fn a_prompt_that_others_have_computed_is_scored_all_the_same() {
    let stage = Stage::echo(0);
    let prompt = "a long prompt, long enough for several blocks of the cache";
    let first = ask(&stage, echoing(prompt, 1, Some(1))).await;
    let again = ask(&stage, echoing(prompt, 1, Some(1))).await;
    assert_eq!(first, again);
    assert_eq!(again.1.cached, TokenCount(0));
    assert_eq!(again.0[0].tokens.len(), prompt.len() + 1);
    let (_, used) = ask(&stage, completion(prompt)).await;
    assert_eq!(used.cached, TokenCount(48), "others find what was scored");
}

#[tokio::test]
async fn no_token_need_be_generated() {
    let stage = Stage::echo(0);
    let (answers, used) = ask(&stage, echoing("abc", 0, Some(0))).await;
    assert_eq!(answers[0].text, "abc");
    assert_eq!(told(&answers[0].tokens).len(), 3);
    assert_eq!(answers[0].reason, Some(FinishReason::Length));
    assert_eq!(used.completion, TokenCount(0));
    let (answers, _) = ask(&stage, echoing("abc", 0, None)).await;
    assert_eq!(
        (answers[0].text.as_str(), answers[0].tokens.len()),
        ("abc", 0)
    );
}

#[tokio::test]
async fn the_token_that_ends_a_scored_answer_is_told_and_has_no_text() {
    let stage = Stage::echo(0);
    let (answers, used) = ask(&stage, echoing("ab", 9, Some(0))).await;
    assert_eq!(answers[0].text, "abab");
    let reports = told(&answers[0].tokens);
    assert_eq!(reports.len(), 5);
    assert_eq!(reports[4], ("<|end|>", Some(-0.5), 4));
    assert_eq!(used.completion, TokenCount(2));
}

#[tokio::test]
async fn a_prompt_of_tokens_is_told_as_text_and_its_markers_as_such() {
    let stage = Stage::echo(0);
    let tokens = [0xc3, 0xbc, 0x61].map(TokenId).to_vec();
    let request = AnswerRequest {
        ask: Ask::Completion(vec![Prompt::Tokens([tokens, vec![END]].concat())]),
        ..echoing("", 1, Some(0))
    };
    let (answers, _) = ask(&stage, request).await;
    assert_eq!(answers[0].text, "üa<|end|>\u{fffd}");
    let offsets: Vec<u32> = answers[0].tokens.iter().map(|it| it.offset_chars).collect();
    assert_eq!(offsets, [0, 0, 1, 2, 9]);
}

#[tokio::test]
async fn each_of_several_answers_begins_with_its_prompt() {
    let stage = Stage::echo(0);
    let prompts = ["ab", "cde"].map(|it| Prompt::Text(it.to_owned())).to_vec();
    let mut request = AnswerRequest {
        ask: Ask::Completion(prompts),
        ..echoing("", 1, Some(0))
    };
    request.options.answers = 2;
    let (answers, _) = ask(&stage, request).await;
    let texts: Vec<&str> = answers.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["aba", "aba", "cdec", "cdec"]);
    let tokens: Vec<usize> = answers.iter().map(|it| it.tokens.len()).collect();
    assert_eq!(tokens, [3, 3, 4, 4]);
}

#[tokio::test]
async fn a_prompt_is_scored_once_for_all_of_its_answers() {
    let stage = Stage::echo(1);
    let prompt = "a long prompt, long enough for several blocks of the cache";
    let alone = ask(&stage, echoing(prompt, 3, Some(1))).await.0;
    for (answers, generated_max) in [(3, 3), (2, 0)] {
        let before = stage.engine.handle().status();
        let mut request = echoing(prompt, generated_max, Some(1));
        request.options.answers = answers;
        let (told, used) = ask(&stage, request).await;
        assert_eq!(told.len(), answers as usize);
        let tokens = prompt.len() + generated_max as usize;
        for answer in told {
            assert_eq!(answer.tokens, alone[0].tokens[..tokens]);
            assert_eq!(answer.text, alone[0].text[..tokens]);
        }
        assert_eq!(used.prompt, TokenCount(prompt.len() as u32));
        let after = stage.engine.handle().status();
        let found = after.prefix_hit_tokens_total - before.prefix_hit_tokens_total;
        assert_eq!(
            found,
            48 * u64::from(answers - 1),
            "the others compute no more than its end"
        );
    }
    let mut best = echoing("ab", 9, Some(0));
    best.options.candidates = Some(3);
    let (told, _) = ask(&stage, best).await;
    let last = told[0].tokens.last().unwrap();
    assert_eq!(
        (told[0].tokens.len(), last.chosen.text.as_str()),
        (5, "<|end|>")
    );
}

#[tokio::test]
async fn an_answer_whose_prompt_cannot_be_scored_does_not_hold_up_the_others() {
    let stage = Stage::echo(1);
    // The first step scores 256 tokens; the second fails, as the answer would begin as the prompt does.
    let mut request = echoing(&format!("\u{1}{}", "a".repeat(300)), 6, Some(0));
    request.options.answers = 2;
    let all = tokio::time::timeout(Duration::from_secs(5), ask(&stage, request));
    let (told, _) = all.await.unwrap();
    let failed = Some(FinishReason::Failed(Failure::Device));
    assert!(told.iter().all(|it| it.reason == failed), "{told:?}");
    assert_eq!(told[0].tokens.len(), 257, "what was scored is told");
}
