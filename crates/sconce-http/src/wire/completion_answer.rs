//! What `POST /v1/completions` answers.

use sconce_domain::{FinishReason, Usage};
use sconce_pipeline::TokenReport;
use serde::Serialize;
use serde_json::{Map, Value};

use super::options::Delivery;
use super::usage::{FINGERPRINT, UsageObject, finish_word, finite};
use crate::dialect::{Dialect, Gathered, Head, Piece};

/// Writes completion answers. Whole answers and chunks have the same shape here.
#[derive(Debug)]
pub(crate) struct CompletionDialect {
    head: Head,
    delivery: Delivery,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageObject>>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

/// One entry a token in each list.
#[derive(Debug, Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Map<String, Value>>,
    text_offset: Vec<u32>,
}

impl CompletionDialect {
    pub(crate) fn new(id: u64, created: u64, model: &str, delivery: Delivery) -> Self {
        let head = Head {
            id: format!("cmpl-{id:016x}"),
            object: "text_completion",
            created,
            model: model.to_owned(),
            system_fingerprint: FINGERPRINT,
        };
        Self { head, delivery }
    }

    fn write(&self, choices: Vec<Choice>, usage: Option<Option<UsageObject>>) -> String {
        serde_json::to_string(&Completion {
            head: &self.head,
            choices,
            usage,
        })
        .expect("objects of texts and finite numbers can be written")
    }

    fn chunk(&self, choice: Choice) -> String {
        self.write(
            vec![choice],
            (self.delivery == Delivery::StreamWithUsage).then_some(None),
        )
    }
}

impl Dialect for CompletionDialect {
    fn whole(&self, answers: Vec<Gathered>, usage: Usage) -> String {
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| Choice {
                index,
                text: answer.text,
                logprobs: logprobs(answer.tokens),
                finish_reason: answer.reason.and_then(finish_word),
            });
        self.write(choices.collect(), Some(Some(usage.into())))
    }

    fn opening(&self, _choice: u32) -> Option<String> {
        None
    }

    fn piece(&self, piece: Piece) -> String {
        self.chunk(Choice {
            index: piece.choice as usize,
            text: piece.text,
            logprobs: logprobs(piece.tokens),
            finish_reason: None,
        })
    }

    fn finish(&self, choice: u32, reason: FinishReason) -> String {
        self.chunk(Choice {
            index: choice as usize,
            text: String::new(),
            logprobs: None,
            finish_reason: finish_word(reason),
        })
    }

    fn usage(&self, usage: Usage) -> String {
        self.write(Vec::new(), Some(Some(usage.into())))
    }
}

/// A token that was drawn is in its own map of alternatives too, as clients that look for "was it
/// the likeliest" expect; both numbers are the same one.
fn logprobs(tokens: Vec<TokenReport>) -> Option<Logprobs> {
    if tokens.is_empty() {
        return None;
    }
    let mut lists = Logprobs {
        tokens: Vec::new(),
        token_logprobs: Vec::new(),
        top_logprobs: Vec::new(),
        text_offset: Vec::new(),
    };
    for token in tokens {
        let alternatives = token.top.iter().chain([&token.chosen]);
        lists.top_logprobs.push(
            alternatives
                .map(|it| (it.text.clone(), Value::from(finite(it.logprob))))
                .collect(),
        );
        lists.token_logprobs.push(finite(token.chosen.logprob));
        lists.tokens.push(token.chosen.text);
        lists.text_offset.push(token.offset_chars);
    }
    Some(lists)
}
