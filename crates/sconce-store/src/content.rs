//! What was said, as it lies in the journal under its seal.

use sconce_domain::{Message, RecordedAnswer, RecordedInput, RecordedOutput, ToolCall};
use serde::Serialize;

#[derive(Serialize)]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    texts: &'a [String],
    #[serde(skip_serializing_if = "<[Vec<u32>]>::is_empty")]
    tokens: &'a [Vec<u32>],
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    prompts: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thought: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
}

fn call(call: &ToolCall) -> Call<'_> {
    Call {
        id: &call.id,
        name: &call.name,
        arguments: &call.arguments,
    }
}

fn said(message: &Message) -> Said<'_> {
    Said {
        role: message.role.as_str(),
        content: &message.content,
        reasoning: message.reasoning.as_deref(),
        calls: message.calls.iter().map(call).collect(),
        call_id: message.call_id.as_deref(),
    }
}

fn answer(answer: &RecordedAnswer) -> Answer<'_> {
    Answer {
        text: &answer.text,
        thought: &answer.thought,
        calls: answer.calls.iter().map(call).collect(),
        end: answer.end,
    }
}

/// The bytes of what was asked.
pub(crate) fn of_input(input: &RecordedInput) -> Vec<u8> {
    written(&Input {
        user: input.user.as_deref(),
        messages: input.messages.iter().map(said).collect(),
        texts: &input.texts,
        tokens: &input.tokens,
    })
}

/// The bytes of what was answered.
pub(crate) fn of_output(output: &RecordedOutput) -> Vec<u8> {
    written(&Output {
        prompts: &output.prompts,
        answers: output.answers.iter().map(answer).collect(),
    })
}

fn written(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("texts and numbers can be written")
}
