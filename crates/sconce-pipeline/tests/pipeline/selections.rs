//! The best of several candidates.

use sconce_domain::{BlockSize, FinishReason, TokenCount};
use sconce_engine::fake::FakeExecutor;
use sconce_engine::{Computed, Executor, Hold, Step};
use sconce_pipeline::{AnswerRequest, Ask, Prompt};

use crate::answers::{Answer, gather};
use crate::stage::{Sizes, Stage, completion};

/// The fake device, whose answers differ by their seeds, with probabilities that depend on the
/// token: higher ids are likelier.
#[derive(Debug)]
struct Judging(FakeExecutor);

impl Executor for Judging {
    type Error = <FakeExecutor as Executor>::Error;

    fn run(
        &mut self,
        step: &Step<'_>,
        holds: &mut [Hold<'_>],
    ) -> Result<Vec<Computed>, Self::Error> {
        let mut computed = self.0.run(step, holds)?;
        for draw in computed.iter_mut().filter_map(|it| it.draw.as_mut()) {
            if let Some(logprobs) = &mut draw.logprobs {
                logprobs.chosen.logprob = draw.token.0 as f32 - 256.0;
            }
        }
        Ok(computed)
    }
}

fn stage() -> Stage {
    let block_size = BlockSize::new(16).unwrap();
    Stage::new(
        Judging(FakeExecutor::new(block_size, 256)),
        Sizes::default(),
    )
}

async fn ask(answers: u32, candidates: Option<u32>, logprobs: Option<u8>) -> (Vec<Answer>, u32) {
    let prompts = ["one", "two"]
        .map(|it| Prompt::Text(it.to_owned()))
        .to_vec();
    let mut request = AnswerRequest {
        ask: Ask::Completion(prompts),
        ..completion("")
    };
    let options = &mut request.options;
    options.temperature = 1.0;
    options.seed = Some(3);
    options.generated_max = Some(TokenCount(5));
    (options.answers, options.candidates, options.logprobs) = (answers, candidates, logprobs);
    let stage = stage();
    let (answers, used) = gather(stage.pipeline.answer(request).await.unwrap()).await;
    (answers, used.unwrap().completion.0)
}

fn mean_logprob(answer: &Answer) -> f32 {
    let logprobs = answer.tokens.iter().map(|it| it.chosen.logprob.unwrap());
    logprobs.sum::<f32>() / answer.tokens.len() as f32
}

#[tokio::test]
async fn the_likeliest_of_the_candidates_are_given_the_best_first() {
    let (all, _) = ask(6, None, Some(0)).await;
    let (best, used) = ask(2, Some(6), Some(0)).await;
    let mut expected = Vec::new();
    for group in all.chunks(6) {
        let mut group = group.to_vec();
        group.sort_by(|one, other| mean_logprob(other).total_cmp(&mean_logprob(one)));
        assert!(mean_logprob(&group[0]) > mean_logprob(&group[5]));
        expected.extend_from_slice(&group[..2]);
    }
    assert_eq!(best, expected);
    assert_eq!(used, 2 * 6 * 5, "what was generated is what is counted");
}

#[tokio::test]
async fn probabilities_are_told_only_to_who_asks() {
    let (told, _) = ask(1, Some(4), Some(0)).await;
    let (untold, _) = ask(1, Some(4), None).await;
    assert_eq!(untold.len(), 2);
    for (told, untold) in told.iter().zip(&untold) {
        assert_eq!(told.text, untold.text);
        assert_eq!(told.tokens.len(), 5);
        assert!(untold.tokens.is_empty());
        assert_eq!(untold.reason, Some(FinishReason::Length));
    }
}

#[tokio::test]
async fn as_many_candidates_as_answers_leave_nothing_to_choose() {
    assert_eq!(ask(3, Some(3), None).await, ask(3, None, None).await);
}
