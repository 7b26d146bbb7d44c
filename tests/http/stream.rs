//! A streamed answer, read event by event and with suspicion.

use reqwest::Response;
use serde_json::Value;

/// An answer that is still coming. Dropping it closes the connection.
pub(crate) struct Stream {
    response: Response,
    pending: Vec<u8>,
}

/// What the stream of an answer added up to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finish_reason: String,
    pub(crate) tokens: u64,
    /// Of chat answers that asked for it, one entry a token.
    pub(crate) logprobs: Vec<Value>,
    /// The functions called, and their arguments.
    pub(crate) calls: Vec<(String, String)>,
}

impl Answer {
    fn add(&mut self, event: &Value) {
        if let Some(tokens) = event["usage"]["completion_tokens"].as_u64() {
            self.tokens = tokens;
        }
        let choice = &event["choices"][0];
        self.text.push_str(text_of(event));
        self.finish_reason
            .push_str(choice["finish_reason"].as_str().unwrap_or_default());
        let calls = choice["delta"]["tool_calls"].as_array();
        for call in calls.into_iter().flatten() {
            self.add_call(call);
        }
        let logprobs = choice["logprobs"]["content"].as_array();
        self.logprobs
            .extend(logprobs.into_iter().flatten().cloned());
    }

    /// The first delta of a call has its name; those that follow have more of its arguments.
    fn add_call(&mut self, call: &Value) {
        let index = call["index"]
            .as_u64()
            .expect("a delta has its call's index") as usize;
        let of = |name: &str| call["function"][name].as_str().unwrap_or_default();
        if index == self.calls.len() {
            assert!(
                call["id"].is_string() && call["type"] == "function",
                "{call}"
            );
            self.calls.push((of("name").to_owned(), String::new()));
        }
        self.calls[index].1.push_str(of("arguments"));
    }
}

impl Stream {
    pub(crate) fn new(response: Response) -> Self {
        Self {
            response,
            pending: Vec::new(),
        }
    }

    /// The next event's data; `None` at an end without `[DONE]`. A chunk of the body may end
    /// anywhere, but a line must be whole characters.
    async fn data(&mut self) -> Option<String> {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8(line).expect("a line is whole characters");
                if let Some(data) = line.trim_end().strip_prefix("data: ") {
                    return Some(data.to_owned());
                }
            }
            let bytes = self.response.chunk().await.ok()??;
            self.pending.extend_from_slice(&bytes);
        }
    }

    /// The text of the next event that has any. It must come.
    pub(crate) async fn piece(&mut self) -> String {
        loop {
            let data = self.data().await.expect("the stream goes on");
            let event: Value = serde_json::from_str(&data).expect("an event is JSON");
            let text = text_of(&event);
            if !text.is_empty() {
                return text.to_owned();
            }
        }
    }

    /// All that is still to come, up to `[DONE]`.
    pub(crate) async fn finish(mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let data = self.data().await.expect("a stream ends with [DONE]");
            if data == "[DONE]" {
                return answer;
            }
            answer.add(&serde_json::from_str(&data).expect("an event is JSON"));
        }
    }

    /// Reads to the end and tells whether that came with `[DONE]`.
    pub(crate) async fn comes_to_its_end(mut self) -> bool {
        while let Some(data) = self.data().await {
            if data == "[DONE]" {
                return true;
            }
        }
        false
    }
}

/// The text that an event of either endpoint adds.
fn text_of(event: &Value) -> &str {
    let choice = &event["choices"][0];
    let text = choice["text"]
        .as_str()
        .or(choice["delta"]["content"].as_str());
    text.unwrap_or_default()
}
