//! `POST /v1/completions`, as it comes.

use sconce_domain::{RequestId, TokenCount};
use sconce_pipeline::{AnswerOptions, AnswerRequest, Ask, Prompt};
use serde_json::Value;

use super::foreign;
use super::options::{
    ALTERNATIVES_MAX, ANSWERS_MAX, take_delivery, take_options, take_tokens_max, take_tokens_min,
};
use crate::error::HttpError;
use crate::wire::fields::{Fields, token_ids, wrong};
use crate::wire::foreign::refuse;
use crate::wire::parsed::{Delivery, ParsedRequest};
use crate::wire::strict_json;

/// What this endpoint has always meant when no bound is given; many clients count on it.
const TOKENS_MAX: TokenCount = TokenCount(16);
/// Prompts in one request.
const PROMPTS_MAX: usize = 128;

/// Reads a completion request, or says what in it must change.
pub(crate) fn parse_completion(id: RequestId, body: &[u8]) -> Result<ParsedRequest, HttpError> {
    let mut fields = Fields::of("", strict_json::parse(body)?)?;
    let model = fields.text("model")?;
    let prompts = take_prompts(&mut fields)?;
    let delivery = take_delivery(&mut fields)?;
    let echoes = fields.flag("echo")?.unwrap_or(false);
    // Without a token there is nothing to answer but the prompt.
    let least = u32::from(!echoes);
    let bound = take_tokens_max(&mut fields, &["max_tokens"], least)?;
    let generated_max = Some(bound.unwrap_or(TOKENS_MAX));
    let alternatives = fields.count("logprobs", 0..=ALTERNATIVES_MAX)?;
    let options = AnswerOptions {
        echoes,
        generated_max,
        generated_min: take_tokens_min(&mut fields, generated_max)?,
        logprobs: alternatives.and_then(|it| u8::try_from(it).ok()),
        ..take_options(&mut fields)?
    };
    let candidates = take_candidates(&mut fields, options.answers, delivery)?;
    let options = AnswerOptions {
        candidates,
        ..options
    };
    refuse(&mut fields, foreign::ANY_REQUEST)?;
    refuse(&mut fields, foreign::COMPLETION)?;
    fields.finish()?;
    let request = AnswerRequest {
        id,
        model,
        ask: Ask::Completion(prompts),
        options,
    };
    Ok(ParsedRequest { request, delivery })
}

/// How many answers are generated, so that the best `answers` of them can be given.
fn take_candidates(
    fields: &mut Fields,
    answers: u32,
    delivery: Delivery,
) -> Result<Option<u32>, HttpError> {
    let candidates = fields.count("best_of", 1..=ANSWERS_MAX)?;
    match candidates {
        Some(count) if count < answers => {
            let message =
                format!("`best_of` is {count} and `n` {answers}; it must be at least `n`");
            Err(HttpError::field("best_of", message))
        }
        Some(count) if count > answers && delivery != Delivery::Whole => {
            let message = "`best_of` above `n` cannot be streamed: the best is known at the end";
            Err(HttpError::field("best_of", message))
        }
        candidates => Ok(candidates),
    }
}

/// A text, a list of texts, a list of token ids, or a list of such lists.
fn take_prompts(fields: &mut Fields) -> Result<Vec<Prompt>, HttpError> {
    match fields.take("prompt") {
        Some(Value::String(text)) => Ok(vec![Prompt::Text(text)]),
        Some(Value::Array(items)) if items.first().is_some_and(Value::is_number) => {
            Ok(vec![Prompt::Tokens(token_ids("prompt", &items)?)])
        }
        Some(Value::Array(items)) if (1..=PROMPTS_MAX).contains(&items.len()) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| prompt(index, item))
            .collect(),
        Some(Value::Array(items)) => {
            let count = items.len();
            let message = format!("`prompt` has {count} prompts, it must have 1 to {PROMPTS_MAX}");
            Err(HttpError::field("prompt", message))
        }
        Some(other) => Err(wrong("prompt", MUST, &other)),
        None => Err(HttpError::field(
            "prompt",
            format!("`prompt` is missing; it must {MUST}"),
        )),
    }
}

const MUST: &str = "be a string, a list of strings, a list of token ids or a list of such lists";

fn prompt(index: usize, item: Value) -> Result<Prompt, HttpError> {
    let path = format!("prompt[{index}]");
    match item {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(items) => token_ids(&path, &items).map(Prompt::Tokens),
        other => Err(wrong(&path, "be a string or a list of token ids", &other)),
    }
}
