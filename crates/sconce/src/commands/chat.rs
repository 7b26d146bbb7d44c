//! `sconce chat`: a terminal client that streams.

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::arguments::ChatArguments;
use crate::output::{say, say_piece};

/// Chats until the input ends, or says one thing.
pub(crate) async fn run(arguments: ChatArguments) -> Result<()> {
    let mut chat = Chat::new(arguments);
    if let Some(message) = chat.arguments.message.clone() {
        return chat.say(&message).await;
    }
    say(&format!(
        "chatting with {}; end with Ctrl-D",
        chat.arguments.url
    ));
    loop {
        say_piece("> ");
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .map(|read| (read > 0).then_some(line))
        });
        let Some(line) = line.await?? else {
            say("");
            return Ok(());
        };
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        // What was said stays unsaid if the server refuses it, so that the chat can go on.
        if let Err(error) = chat.say(text).await {
            say(&format!("({error:#})"));
        }
    }
}

struct Chat {
    arguments: ChatArguments,
    client: Client,
    messages: Vec<Value>,
}

impl Chat {
    fn new(arguments: ChatArguments) -> Self {
        let system = arguments
            .system
            .iter()
            .map(|text| json!({"role": "system", "content": text}));
        Self {
            messages: system.collect(),
            client: Client::new(),
            arguments,
        }
    }

    /// Sends `text` and prints the answer as it comes. On error the chat is as it was.
    async fn say(&mut self, text: &str) -> Result<()> {
        let mut messages = self.messages.clone();
        messages.push(json!({"role": "user", "content": text}));
        let response = self.request(&messages).await?;
        let answer = print_stream(response).await?;
        messages.push(json!({"role": "assistant", "content": answer}));
        self.messages = messages;
        Ok(())
    }

    async fn request(&self, messages: &[Value]) -> Result<Response> {
        let mut body = json!({"messages": messages, "stream": true});
        let optional = [
            ("model", self.arguments.model.as_ref().map(|it| json!(it))),
            (
                "temperature",
                self.arguments.temperature.map(|it| json!(it)),
            ),
            ("max_tokens", self.arguments.max_tokens.map(|it| json!(it))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let url = format!(
            "{}/v1/chat/completions",
            self.arguments.url.trim_end_matches('/')
        );
        let mut request = self.client.post(&url).json(&body);
        if let Some(key) = &self.arguments.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.with_context(|| {
            format!("no server answers at {url}; start one with `sconce serve` or give --url")
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let error: Value = response.json().await.unwrap_or_default();
        bail!(
            "the server answers {status}: {}",
            error["error"]["message"].as_str().unwrap_or("?")
        );
    }
}

/// Prints the pieces of a stream as they come and returns the whole.
async fn print_stream(response: Response) -> Result<String> {
    let mut answer = String::new();
    let mut pending = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        pending.extend_from_slice(&bytes.context("the answer broke off")?);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if let Some(piece) = piece_of(&String::from_utf8_lossy(&line))? {
                say_piece(&piece);
                answer.push_str(&piece);
            }
        }
    }
    say("");
    Ok(answer)
}

/// The text that one line of the stream adds, if it adds any.
fn piece_of(line: &str) -> Result<Option<String>> {
    let Some(data) = line
        .trim()
        .strip_prefix("data: ")
        .filter(|it| *it != "[DONE]")
    else {
        return Ok(None);
    };
    let event: Value = serde_json::from_str(data).context("the server sent a broken event")?;
    if let Some(message) = event["error"]["message"].as_str() {
        bail!("the answer failed: {message}");
    }
    Ok(event["choices"][0]["delta"]["content"]
        .as_str()
        .map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_stream_give_their_text_and_errors_their_message() {
        let piece = |line| piece_of(line).map_err(|error| error.to_string());
        let text = r#"data: {"choices": [{"delta": {"content": "hi"}}]}"#;
        assert_eq!(piece(text), Ok(Some("hi".to_owned())));
        assert_eq!(piece(": keep-alive"), Ok(None));
        assert_eq!(piece("data: [DONE]"), Ok(None));
        assert_eq!(piece(r#"data: {"choices": []}"#), Ok(None));
        let failed = piece(r#"data: {"error": {"message": "the device failed"}}"#);
        assert_eq!(
            failed,
            Err("the answer failed: the device failed".to_owned())
        );
        assert!(piece("data: {").is_err());
    }
}
