//! What `POST /v1/chat/completions` answers.

use sconce_domain::{ToolCall, Usage};
use sconce_pipeline::{CallPart, TokenChance, TokenReport};
use serde::Serialize;

use super::chunks::{Chunks, Ending, Head, Piece};
use super::usage::{FINGERPRINT, UsageObject, finish_word, finite};
use crate::dialect::Gathered;
use crate::wire::parsed::Delivery;

/// Writes chat answers.
#[derive(Debug)]
pub(crate) struct ChatChunks {
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
    /// `null` where the model only calls.
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallObject>,
    refusal: Option<String>,
    annotations: [(); 0],
}

#[derive(Debug, Serialize)]
struct CallObject {
    id: String,
    r#type: &'static str,
    function: FunctionObject,
}

#[derive(Debug, Serialize)]
struct FunctionObject {
    name: String,
    arguments: String,
}

/// What is told of the call at a place among those of the answer: first all but the arguments.
#[derive(Debug, Serialize)]
struct CallPiece {
    index: u32,
    #[serde(flatten)]
    piece: Begun,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Begun {
    Call(CallObject),
    More { function: ArgumentsObject },
}

#[derive(Debug, Serialize)]
struct ArgumentsObject {
    arguments: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallPiece>,
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

impl ChatChunks {
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

    fn delta(&self, index: u32, delta: Delta) -> String {
        self.chunk(ChunkChoice {
            index,
            delta,
            logprobs: None,
            finish_reason: None,
        })
    }
}

impl Chunks for ChatChunks {
    fn whole(&self, answers: Vec<Gathered>, usage: Usage) -> String {
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, answer)| choice(index, answer));
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
            ..Delta::default()
        };
        Some(self.delta(index, delta))
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

    fn thought(&self, index: u32, text: String) -> Option<String> {
        let delta = Delta {
            reasoning_content: Some(text),
            ..Delta::default()
        };
        Some(self.delta(index, delta))
    }

    fn call(&self, index: u32, place: u32, part: CallPart) -> Option<String> {
        let piece = match part {
            CallPart::Begins { id, name } => Begun::Call(call_object(ToolCall {
                id,
                name,
                arguments: String::new(),
            })),
            CallPart::Arguments(arguments) => Begun::More {
                function: ArgumentsObject { arguments },
            },
            CallPart::Ends | CallPart::Breaks => return None,
        };
        let delta = Delta {
            tool_calls: vec![CallPiece {
                index: place,
                piece,
            }],
            ..Delta::default()
        };
        Some(self.delta(index, delta))
    }

    fn finish(&self, index: u32, ending: Ending) -> String {
        let finish_reason = finish_word(ending);
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

fn choice(index: usize, mut answer: Gathered) -> Choice {
    let (reason, tokens) = (answer.reason, std::mem::take(&mut answer.tokens));
    let (text, thought, calls) = answer.split();
    let has_calls = !calls.is_empty();
    let only_calls = has_calls && text.is_empty();
    let ending = reason.map(|reason| Ending { reason, has_calls });
    Choice {
        index,
        message: AnswerMessage {
            role: "assistant",
            content: (!only_calls).then_some(text),
            reasoning_content: Some(thought).filter(|it| !it.is_empty()),
            tool_calls: calls.into_iter().map(call_object).collect(),
            refusal: None,
            annotations: [],
        },
        logprobs: logprobs(tokens),
        finish_reason: ending.and_then(finish_word),
    }
}

fn call_object(call: ToolCall) -> CallObject {
    let ToolCall {
        id,
        name,
        arguments,
    } = call;
    CallObject {
        id,
        r#type: "function",
        function: FunctionObject { name, arguments },
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
