//! What `POST /v1/chat/completions` answers.

use sconce_domain::{FinishReason, Usage};
use sconce_pipeline::{TokenChance, TokenReport};
use serde::Serialize;

use super::options::Delivery;
use super::usage::{FINGERPRINT, UsageObject, finish_word, finite};
use crate::dialect::{Dialect, Gathered, Head, Piece};

/// Writes chat answers.
#[derive(Debug)]
pub(crate) struct ChatDialect {
    head: Head,
    delivery: Delivery,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Vec<Choice>,
    usage: UsageObject,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    message: AnswerMessage,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct AnswerMessage {
    role: &'static str,
    content: String,
    refusal: Option<String>,
    annotations: [(); 0],
}

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Vec<ChunkChoice>,
    /// With usage asked for, every chunk has the key and all but the last have `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageObject>>,
}

#[derive(Debug, Serialize)]
struct ChunkChoice {
    index: u32,
    delta: Delta,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Stands where the role does, as `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<String>>,
}

#[derive(Debug, Serialize)]
struct Logprobs {
    content: Vec<TokenObject>,
    refusal: Option<Vec<TokenObject>>,
}

#[derive(Debug, Serialize)]
struct TokenObject {
    #[serde(flatten)]
    chosen: ChanceObject,
    top_logprobs: Vec<ChanceObject>,
}

#[derive(Debug, Serialize)]
struct ChanceObject {
    token: String,
    logprob: Option<f32>,
    bytes: Vec<u8>,
}

impl ChatDialect {
    pub(crate) fn new(id: u64, created: u64, model: &str, delivery: Delivery) -> Self {
        let head = Head {
            id: format!("chatcmpl-{id:016x}"),
            object: match delivery {
                Delivery::Whole => "chat.completion",
                Delivery::Stream | Delivery::StreamWithUsage => "chat.completion.chunk",
            },
            created,
            model: model.to_owned(),
            system_fingerprint: FINGERPRINT,
        };
        Self { head, delivery }
    }

    fn chunk(&self, choice: ChunkChoice) -> String {
        let usage = (self.delivery == Delivery::StreamWithUsage).then_some(None);
        json(&Chunk {
            head: &self.head,
            choices: vec![choice],
            usage,
        })
    }
}

impl Dialect for ChatDialect {
    fn whole(&self, answers: Vec<Gathered>, usage: Usage) -> String {
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| Choice {
                index,
                message: AnswerMessage {
                    role: "assistant",
                    content: answer.text,
                    refusal: None,
                    annotations: [],
                },
                logprobs: logprobs(answer.tokens),
                finish_reason: answer.reason.and_then(finish_word),
            });
        json(&Completion {
            head: &self.head,
            choices: choices.collect(),
            usage: usage.into(),
        })
    }

    fn opening(&self, index: u32) -> Option<String> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(String::new()),
            refusal: Some(None),
        };
        Some(self.chunk(ChunkChoice {
            index,
            delta,
            logprobs: None,
            finish_reason: None,
        }))
    }

    fn piece(&self, piece: Piece) -> String {
        self.chunk(ChunkChoice {
            index: piece.choice,
            delta: Delta {
                content: Some(piece.text),
                ..Delta::default()
            },
            logprobs: logprobs(piece.tokens),
            finish_reason: None,
        })
    }

    fn finish(&self, index: u32, reason: FinishReason) -> String {
        let finish_reason = finish_word(reason);
        self.chunk(ChunkChoice {
            index,
            delta: Delta::default(),
            logprobs: None,
            finish_reason,
        })
    }

    fn usage(&self, usage: Usage) -> String {
        let usage = Some(Some(usage.into()));
        json(&Chunk {
            head: &self.head,
            choices: Vec::new(),
            usage,
        })
    }
}

fn logprobs(tokens: Vec<TokenReport>) -> Option<Logprobs> {
    if tokens.is_empty() {
        return None;
    }
    let content = tokens.into_iter().map(|token| TokenObject {
        chosen: token.chosen.into(),
        top_logprobs: token.top.into_iter().map(ChanceObject::from).collect(),
    });
    Some(Logprobs {
        content: content.collect(),
        refusal: None,
    })
}

impl From<TokenChance> for ChanceObject {
    fn from(chance: TokenChance) -> Self {
        let TokenChance {
            text,
            bytes,
            logprob,
        } = chance;
        Self {
            token: text,
            logprob: logprob.map(finite),
            bytes,
        }
    }
}

fn json(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("objects of texts and finite numbers can be written")
}
