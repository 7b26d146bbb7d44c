//! Answers that think and call.

use futures_util::StreamExt;
use sconce_domain::{FinishReason, Grammar, Tool, ToolChoice, ToolUse};
use sconce_pipeline::{AnswerEvent, AnswerRequest, AskedGrammar, CallPart};

use crate::stage::{Stage, chat, eventually};

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: None,
        parameters: None,
        is_strict: false,
    }
}

/// A chat that is answered with its own text, in which `f` and `g` may be called.
fn asking(text: &str, choice: ToolChoice) -> AnswerRequest {
    let mut request = chat(text);
    request.options.tools = ToolUse {
        tools: vec![tool("f"), tool("g")],
        choice,
        parallel: true,
    };
    request
}

/// What was said, thought and called, and why it ended.
async fn heard(request: AnswerRequest) -> (String, String, Vec<String>, FinishReason) {
    let stage = Stage::echo(0);
    let mut stream = stage.pipeline.answer(request).await.unwrap();
    let (mut said, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
    let (mut ids, mut open) = (Vec::new(), None);
    let mut ending = None;
    while let Some(event) = stream.next().await {
        match event {
            AnswerEvent::Piece { text, .. } => said.push_str(&text),
            AnswerEvent::Thought { text, .. } => thought.push_str(&text),
            AnswerEvent::Call { index, part, .. } => match part {
                CallPart::Begins { id, name } => {
                    assert_eq!(index as usize, calls.len());
                    assert!(!ids.contains(&id), "{ids:?} {id}");
                    ids.push(id);
                    open = Some(format!("{name}("));
                }
                CallPart::Arguments(text) => open.as_mut().unwrap().push_str(&text),
                CallPart::Ends => calls.push(open.take().unwrap() + ")"),
                CallPart::Breaks => open = None,
            },
            AnswerEvent::Finished { reason, .. } => ending = Some(reason),
            AnswerEvent::Done(_) => {}
        }
    }
    drop(stream);
    let engine = stage.engine.handle();
    let is_free = || engine.status().blocks_referenced == 0;
    eventually("its blocks are given back", is_free).await;
    (said, thought, calls, ending.unwrap())
}

const TWO: &str = "<think>\nWhich?\n</think>\n\nBoth.\n\
    <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":  1}}\n</tool_call>\n\
    <tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";

#[tokio::test]
async fn thoughts_and_calls_are_told_apart_from_what_is_said() {
    let (said, thought, calls, ending) = heard(asking(TWO, ToolChoice::Auto)).await;
    assert_eq!((said.as_str(), thought.as_str()), ("Both.", "Which?"));
    assert_eq!(calls, ["f({\"a\":  1})", "g({})"]);
    assert_eq!(ending, FinishReason::Stop);
}

#[tokio::test]
async fn an_answer_that_may_hold_one_call_ends_behind_it() {
    let mut request = asking(TWO, ToolChoice::Auto);
    request.options.tools.parallel = false;
    let (.., calls, ending) = heard(request).await;
    assert_eq!(calls, ["f({\"a\":  1})"]);
    assert_eq!(ending, FinishReason::Stop);
}

#[tokio::test]
async fn a_call_is_text_where_none_may_be_made() {
    let call = "<tool_call>{\"name\": \"f\"}</tool_call>";
    for request in [chat(call), asking(call, ToolChoice::None)] {
        let (said, _, calls, _) = heard(request).await;
        assert_eq!((said.as_str(), calls.len()), (call, 0));
    }
}

#[tokio::test]
async fn a_call_that_is_required_or_named_is_made_whatever_the_model_would_say() {
    for (choice, called) in [
        (ToolChoice::Required, "f({})"),
        (ToolChoice::Named("g".to_owned()), "g({})"),
    ] {
        let (said, _, calls, _) = heard(asking("I would rather not.", choice)).await;
        assert_eq!((said.as_str(), calls), ("", vec![called.to_owned()]));
    }
}

#[tokio::test]
async fn a_strict_function_has_the_calls_of_its_model_held_to_their_form() {
    let mut request = asking("Both.", ToolChoice::Auto);
    request.options.tools.tools[1].is_strict = true;
    let (said, _, calls, _) = heard(request).await;
    // The compiler of this stage dictates one call to whatever is held.
    assert_eq!((said.as_str(), calls), ("", vec!["f({})".to_owned()]));
}

#[tokio::test]
async fn an_answer_of_another_form_neither_thinks_nor_loses_anything() {
    let mut request = chat("hello");
    let text = "<think>a</think> b".to_owned();
    request.options.grammar = Some(AskedGrammar {
        field: "a field",
        grammar: Grammar::Choice(vec![text.clone()]),
    });
    let (said, thought, ..) = heard(request).await;
    assert_eq!((said, thought), (text, String::new()));
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_neither_made_nor_said() {
    let mut request = asking(TWO, ToolChoice::Auto);
    request.options.generated_max = Some(sconce_domain::TokenCount(60));
    let (said, thought, calls, ending) = heard(request).await;
    assert_eq!(thought, "Which?");
    assert_eq!(said, "Both.");
    assert_eq!((calls.len(), ending), (0, FinishReason::Length));
}
