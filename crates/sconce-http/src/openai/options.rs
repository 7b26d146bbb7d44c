//! The fields that chat and completion requests share.

use std::sync::Arc;
use std::time::Duration;

use sconce_domain::{Penalties, Priority, TokenBias, TokenCount, TokenId};
use sconce_pipeline::{AnswerOptions, EndTokens};
use serde_json::Value;

use super::grammar::take_grammar;
use crate::error::HttpError;
use crate::wire::fields::{Fields, token_ids, wrong};
use crate::wire::parsed::Delivery;
use crate::wire::sampling::{take_seed, take_truncation};
use crate::wire::stop_strings::take_stop_strings;
use crate::wire::strict_json::shown;
use crate::wire::user::take_user;

/// Answers that one request may ask for, per prompt.
pub(super) const ANSWERS_MAX: u32 = 128;
/// Stop tokens that one request may have.
const STOP_TOKENS_MAX: usize = 128;
/// Tokens whose logits one request may bias.
const BIASED_TOKENS_MAX: usize = 300;
/// Less is no time at all.
const TIMEOUT_MIN_S: f32 = 0.001;
/// A day: whoever would wait longer need not say so.
const TIMEOUT_MAX_S: f32 = 86_400.0;
/// Alternatives that may be asked for at each token.
pub(super) const ALTERNATIVES_MAX: u32 = 20;

/// Everything but the prompt, the bounds on tokens and the log-probabilities.
pub(super) fn take_options(fields: &mut Fields) -> Result<AnswerOptions, HttpError> {
    let usual = AnswerOptions::default();
    Ok(AnswerOptions {
        answers: fields.count("n", 1..=ANSWERS_MAX)?.unwrap_or(usual.answers),
        temperature: fields
            .number("temperature", 0.0..=2.0)?
            .unwrap_or(usual.temperature),
        truncation: take_truncation(fields, usual.truncation)?,
        penalties: take_penalties(fields)?,
        bias: take_bias(fields)?,
        seed: take_seed(fields)?,
        stop: take_stop_strings(fields, "stop")?,
        stop_tokens: take_stop_tokens(fields)?,
        end_tokens: take_end_tokens(fields)?,
        grammar: take_grammar(fields)?,
        priority: take_priority(fields)?,
        wait_max: fields
            .number("queue_timeout_s", 0.0..=TIMEOUT_MAX_S)?
            .map(Duration::from_secs_f32),
        time_max: fields
            .number("timeout_s", TIMEOUT_MIN_S..=TIMEOUT_MAX_S)?
            .map(Duration::from_secs_f32),
        user: take_user(fields, "user")?,
        ..usual
    })
}

fn take_penalties(fields: &mut Fields) -> Result<Penalties, HttpError> {
    let off = Penalties::default();
    Ok(Penalties {
        repetition: fields
            .number("repetition_penalty", 0.01..=10.0)?
            .unwrap_or(off.repetition),
        presence: fields
            .number("presence_penalty", -2.0..=2.0)?
            .unwrap_or(off.presence),
        frequency: fields
            .number("frequency_penalty", -2.0..=2.0)?
            .unwrap_or(off.frequency),
    })
}

/// A map from token ids, written as strings, to numbers.
fn take_bias(fields: &mut Fields) -> Result<Arc<[TokenBias]>, HttpError> {
    let map = match fields.take("logit_bias") {
        None => return Ok(Arc::default()),
        Some(Value::Object(map)) => map,
        Some(other) => {
            let must = "be an object of token ids and numbers";
            return Err(fields.wrong("logit_bias", must, &other));
        }
    };
    if map.len() > BIASED_TOKENS_MAX {
        let count = map.len();
        let message =
            format!("`logit_bias` has {count} tokens, at most {BIASED_TOKENS_MAX} are taken");
        return Err(HttpError::field("logit_bias", message));
    }
    map.into_iter()
        .map(|(id, bias)| token_bias(&id, &bias))
        .collect()
}

/// The id must be written as the server would write it, so that no token stands twice in a map.
fn token_bias(id: &str, bias: &Value) -> Result<TokenBias, HttpError> {
    let param = format!("logit_bias.{}", shown(id));
    let token = id.parse().ok().filter(|it: &u32| it.to_string() == id);
    let Some(token) = token.map(TokenId) else {
        let message = format!("`{param}` is no token id; it must be a whole number from 0");
        return Err(HttpError::field(param, message));
    };
    match bias.as_f64() {
        Some(number) if (-100.0..=100.0).contains(&number) => Ok(TokenBias {
            token,
            bias: number as f32,
        }),
        _ => Err(wrong(&param, "be a number from -100 to 100", bias)),
    }
}

fn take_end_tokens(fields: &mut Fields) -> Result<EndTokens, HttpError> {
    Ok(match fields.flag("ignore_eos")? {
        Some(true) => EndTokens::Ignored,
        Some(false) | None => EndTokens::Honoured,
    })
}

fn take_stop_tokens(fields: &mut Fields) -> Result<Vec<TokenId>, HttpError> {
    let items = match fields.take("stop_token_ids") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => {
            return Err(fields.wrong("stop_token_ids", "be a list of token ids", &other));
        }
    };
    if items.len() > STOP_TOKENS_MAX {
        let count = items.len();
        let message =
            format!("`stop_token_ids` has {count} tokens, at most {STOP_TOKENS_MAX} are taken");
        return Err(HttpError::field("stop_token_ids", message));
    }
    token_ids("stop_token_ids", &items)
}

fn take_priority(fields: &mut Fields) -> Result<Priority, HttpError> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let number = fields.integer("priority", range)?;
    Ok(number
        .and_then(|it| i32::try_from(it).ok())
        .map_or_else(Priority::default, Priority))
}

/// A bound on the tokens of an answer, at least `least`, under whichever of `names` it is given.
pub(super) fn take_tokens_max(
    fields: &mut Fields,
    names: &[&str],
    least: u32,
) -> Result<Option<TokenCount>, HttpError> {
    let mut bound: Option<(&str, u32)> = None;
    for name in names {
        let Some(tokens) = fields.count(name, least..=u32::MAX)? else {
            continue;
        };
        match bound {
            Some((earlier, other)) if other != tokens => {
                let message = format!("`{earlier}` is {other} and `{name}` {tokens}; give one");
                return Err(HttpError::field(*name, message));
            }
            _ => bound = Some((name, tokens)),
        }
    }
    Ok(bound.map(|(_, tokens)| TokenCount(tokens)))
}

/// The least tokens of an answer, of which it may have `tokens_max`.
pub(super) fn take_tokens_min(
    fields: &mut Fields,
    tokens_max: Option<TokenCount>,
) -> Result<TokenCount, HttpError> {
    let tokens_min = fields.count("min_tokens", 0..=u32::MAX)?.unwrap_or(0);
    match tokens_max {
        Some(TokenCount(tokens_max)) if tokens_min > tokens_max => {
            let message = format!(
                "`min_tokens` is {tokens_min}, above the {tokens_max} that an answer may have; \
                 lower it or raise `max_tokens`"
            );
            Err(HttpError::field("min_tokens", message))
        }
        _ => Ok(TokenCount(tokens_min)),
    }
}

pub(super) fn take_delivery(fields: &mut Fields) -> Result<Delivery, HttpError> {
    let streams = fields.flag("stream")?.unwrap_or(false);
    let Some(value) = fields.take("stream_options") else {
        return Ok(if streams {
            Delivery::Stream
        } else {
            Delivery::Whole
        });
    };
    let mut options = Fields::of("stream_options", value)?;
    if !streams {
        let message = "`stream_options` needs `stream` to be true";
        return Err(HttpError::field("stream_options", message));
    }
    let usage = options.flag("include_usage")?.unwrap_or(false);
    if options.flag("include_obfuscation")? == Some(true) {
        let param = options.path("include_obfuscation");
        return Err(HttpError::Unsupported {
            param,
            note: String::new(),
        });
    }
    options.finish()?;
    Ok(if usage {
        Delivery::StreamWithUsage
    } else {
        Delivery::Stream
    })
}
