//! Answers whose end is taken back while they run.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use sconce_domain::{
    FinishReason, Sampling, TokenCount, TokenId, Tool, ToolChoice, ToolUse, Usage, Withheld,
};
use sconce_pipeline::{AnswerEvent, AnswerRequest, AnswerStream, CallPart};

use crate::stage::{Stage, chat, completion, eventually};

/// What was told of the first answer and stands.
#[derive(Debug, Clone, PartialEq, Default)]
struct Told {
    said: String,
    thought: String,
    /// Ids and arguments.
    calls: Vec<(String, String)>,
    /// The text of each token, and where it begins.
    tokens: Vec<(String, u32)>,
    end: Option<FinishReason>,
    used: Usage,
}

impl Told {
    fn hear(&mut self, event: AnswerEvent) {
        match event {
            AnswerEvent::Piece { text, tokens, .. } => {
                self.said.push_str(&text);
                let tokens = tokens.into_iter();
                self.tokens
                    .extend(tokens.map(|it| (it.chosen.text, it.offset_chars)));
            }
            AnswerEvent::Thought { text, .. } => self.thought.push_str(&text),
            AnswerEvent::Call { part, .. } => match part {
                CallPart::Begins { id, .. } => self.calls.push((id, String::new())),
                CallPart::Arguments(text) => self.calls.last_mut().unwrap().1.push_str(&text),
                CallPart::Ends | CallPart::Breaks => {}
            },
            AnswerEvent::Finished { reason, .. } => self.end = Some(reason),
            AnswerEvent::Done(used) => self.used = used,
        }
    }
}

/// Listens until at least so many tokens have come.
async fn hear_up_to(stream: &mut AnswerStream, tokens: u32) -> Told {
    let mut told = Told::default();
    while stream.tokens_of(0).unwrap() < TokenCount(tokens) {
        told.hear(stream.next().await.unwrap());
    }
    told
}

/// What stands of the first `kept` tokens, and then the rest.
async fn go_on(
    mut stream: AnswerStream,
    kept: u32,
    change: impl FnOnce(&mut Sampling),
) -> (Told, Told) {
    let stands = stream.rewind(0, TokenCount(kept), change).unwrap();
    let mut told = Told::default();
    stands.into_iter().for_each(|it| told.hear(it));
    assert_eq!(stream.tokens_of(0), Some(TokenCount(kept)));
    let before = told.clone();
    while let Some(event) = stream.next().await {
        told.hear(event);
    }
    (before, told)
}

/// The device says `~` wherever it would say `byte`.
fn without(byte: u8) -> impl FnOnce(&mut Sampling) {
    move |sampling| {
        sampling.withheld = Withheld {
            tokens: Arc::from([TokenId(u32::from(byte))]),
            generated_min: TokenCount(1_000),
        }
    }
}

fn unchanged(_: &mut Sampling) {}

async fn begun(stage: &Stage, request: AnswerRequest) -> AnswerStream {
    stage.pipeline.answer(request).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_is_taken_back_goes_on_in_another_way_and_counts_what_stands() {
    let stage = Stage::echo(5);
    let long = format!("abcdefgh{}", "i".repeat(40));
    let mut stream = begun(&stage, completion(&long)).await;
    let heard = hear_up_to(&mut stream, 6).await;
    assert!(heard.said.starts_with("abcdef"), "{heard:?}");
    let (stands, whole) = go_on(stream, 2, without(b'c')).await;
    assert_eq!(stands.said, "ab");
    assert_eq!(whole.said, long.replace('c', "~"));
    assert_eq!(whole.end, Some(FinishReason::Stop));
    assert_eq!(whole.used.completion, TokenCount(48));
    assert_eq!(stage.engine.handle().status().blocks_referenced, 0);
}

#[tokio::test]
async fn an_answer_may_be_taken_back_again_and_again_and_to_its_beginning() {
    let stage = Stage::echo(2);
    let long = "abcdefgh".repeat(6);
    let mut stream = begun(&stage, completion(&long)).await;
    for (heard, kept) in [(9, 7), (8, 7), (12, 0), (1, 1)] {
        hear_up_to(&mut stream, heard).await;
        let stands = stream.rewind(0, TokenCount(kept), unchanged).unwrap();
        let mut told = Told::default();
        stands.into_iter().for_each(|it| told.hear(it));
        assert_eq!(told.said, long[..kept as usize]);
        // Nothing has come since, so this changes nothing.
        assert!(stream.rewind(0, TokenCount(kept), unchanged).is_some());
    }
    let (_, whole) = go_on(stream, 1, unchanged).await;
    assert_eq!((whole.said, whole.used.completion), (long, TokenCount(48)));
}

#[tokio::test]
async fn no_character_is_torn_and_no_stop_string_missed_where_an_answer_is_taken_back() {
    let stage = Stage::echo(5);
    let mut request = completion(&format!("aü🦀xyxyz{}", "b".repeat(40)));
    request.options.stop = vec!["xyz".to_owned()];
    for (kept, stands) in [
        (2, "a"),
        (3, "aü"),
        (5, "aü"),
        (7, "aü🦀"),
        (9, "aü🦀"),
        (10, "aü🦀xy"),
    ] {
        let mut stream = begun(&stage, request.clone()).await;
        hear_up_to(&mut stream, 10).await;
        let (before, whole) = go_on(stream, kept, unchanged).await;
        assert_eq!(before.said, stands, "{kept}");
        assert_eq!(
            (whole.said.as_str(), whole.end),
            ("aü🦀xy", Some(FinishReason::Stop))
        );
        assert_eq!(whole.used.completion, TokenCount(12));
    }
    let mut stream = begun(&stage, request).await;
    hear_up_to(&mut stream, 10).await;
    let (_, whole) = go_on(stream, 9, without(b'z')).await;
    assert_eq!(whole.said, format!("aü🦀xyxy~{}", "b".repeat(40)));
}

/// No event tells that half a character has come, so this looks between two of them.
#[tokio::test]
async fn half_a_character_is_forgotten_where_an_answer_is_taken_back() {
    let stage = Stage::echo(20);
    let text = "aü🦀bcdefgh";
    let mut stream = begun(&stage, completion(text)).await;
    let (short, half) = (Duration::from_millis(2), TokenCount(5));
    while stream.tokens_of(0).unwrap() < half {
        let _some = tokio::time::timeout(short, stream.next()).await;
    }
    let (stands, whole) = go_on(stream, 3, unchanged).await;
    assert_eq!((stands.said.as_str(), whole.said.as_str()), ("aü", text));
}

#[tokio::test]
async fn each_token_that_stands_is_reported_once() {
    let stage = Stage::echo(5);
    let mut request = completion(&"aücdefgh".repeat(4));
    request.options.logprobs = Some(0);
    request.options.stop = vec!["ha!".to_owned()];
    let mut expected = Told::default();
    let mut stream = begun(&stage, request.clone()).await;
    while let Some(event) = stream.next().await {
        expected.hear(event);
    }
    for kept in [0, 2, 5, 9, 10] {
        let mut stream = begun(&stage, request.clone()).await;
        hear_up_to(&mut stream, 12).await;
        let (_, whole) = go_on(stream, kept, unchanged).await;
        assert_eq!(whole.tokens, expected.tokens, "{kept}");
        assert_eq!(whole.said, expected.said);
    }
}

#[tokio::test]
async fn what_was_thought_and_called_is_told_anew_by_the_same_names() {
    let stage = Stage::echo(3);
    let call = r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#;
    let text = format!("<think>hm</think>ok{call}{}", "b".repeat(40));
    let mut request = chat(&text);
    request.options.tools = ToolUse {
        tools: vec![Tool {
            name: "f".to_owned(),
            description: None,
            parameters: None,
            is_strict: false,
        }],
        choice: ToolChoice::Auto,
        parallel: true,
    };
    let mut stream = begun(&stage, request).await;
    let heard = hear_up_to(&mut stream, 85).await;
    assert_eq!(
        (heard.thought.as_str(), heard.calls.len()),
        ("hm", 1),
        "{heard:?}"
    );
    let (stands, whole) = go_on(stream, 85, unchanged).await;
    assert_eq!(
        (&stands.thought, &stands.calls),
        (&heard.thought, &heard.calls)
    );
    assert_eq!(whole.calls, heard.calls, "the call is called the same");
    assert_eq!(whole.said, format!("ok{}", "b".repeat(40)));
}

#[tokio::test]
async fn an_answer_that_the_engine_has_ended_keeps_what_stands_and_ends() {
    let stage = Stage::echo(0);
    let mut stream = begun(&stage, completion("abcdef")).await;
    hear_up_to(&mut stream, 2).await;
    let engine = stage.engine.handle();
    eventually("the engine is done", || engine.status().running == 0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (_, whole) = go_on(stream, 2, unchanged).await;
    assert_eq!(
        (whole.said.as_str(), whole.end),
        ("ab", Some(FinishReason::Stop))
    );
    assert_eq!(whole.used.completion, TokenCount(2));
}

#[tokio::test]
async fn what_cannot_be_taken_back_stays_as_it_is() {
    let stage = Stage::echo(2);
    let long = "a".repeat(30);
    let mut stream = begun(&stage, completion(&long)).await;
    hear_up_to(&mut stream, 3).await;
    assert!(stream.rewind(0, TokenCount(99), unchanged).is_none());
    assert!(stream.rewind(1, TokenCount(0), unchanged).is_none());
    while !matches!(stream.next().await, Some(AnswerEvent::Finished { .. })) {}
    assert_eq!(stream.tokens_of(0), None);
    assert!(stream.rewind(0, TokenCount(1), unchanged).is_none());
    let mut request = completion(&long);
    request.options.candidates = Some(2);
    let mut chosen = begun(&stage, request).await;
    assert!(chosen.rewind(0, TokenCount(0), unchanged).is_none());
    let mut request = completion(&long);
    request.options.echoes = true;
    let mut echoed = begun(&stage, request).await;
    assert!(echoed.rewind(0, TokenCount(0), unchanged).is_none());
}
