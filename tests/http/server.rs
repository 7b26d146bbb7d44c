//! A server process and the requests that tests send it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::{Value, json};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sconce-under-test");

/// A server of the default model. Killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Server {
    /// Starts a server with more arguments and waits until its model is loaded.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("listening on ").unwrap().to_owned();
        // The rest is read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self {
            process,
            url,
            client: Client::new(),
        };
        let ready = async || server.get("/ready").await.status().is_success();
        let deadline = Instant::now() + Duration::from_secs(300);
        while !ready().await {
            assert!(
                Instant::now() < deadline,
                "the model was not loaded in time"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the process has ended by itself, and tells whether it was content.
    pub(crate) async fn ended(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "the server did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client
            .post(format!("{}{path}", self.url))
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// A metric's value for the default model.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let line = text
            .lines()
            .find(|it| it.starts_with(&format!("{name}{{")))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The answer to a completion that is not streamed.
    pub(crate) async fn complete(&self, request: Value) -> Value {
        let response = self.post("/v1/completions", request.to_string()).await;
        assert!(
            response.status().is_success(),
            "{}",
            response.text().await.unwrap()
        );
        response.json().await.unwrap()
    }

    /// Begins a streamed completion at temperature zero.
    pub(crate) async fn stream(&self, prompt: &str, tokens_max: u32) -> Stream {
        let request = json!({
            "prompt": prompt, "max_tokens": tokens_max, "temperature": 0, "stream": true,
        });
        let response = self.post("/v1/completions", request.to_string()).await;
        assert!(response.status().is_success());
        Stream {
            response,
            pending: Vec::new(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A streamed completion. Dropping it closes the connection.
pub(crate) struct Stream {
    response: Response,
    pending: Vec<u8>,
}

impl Stream {
    /// The text of the next chunk, `None` at the end. Every line must be whole UTF-8 and JSON.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8(line).expect("a line is whole characters");
                let Some(data) = line.trim().strip_prefix("data: ") else {
                    continue;
                };
                if data == "[DONE]" {
                    return None;
                }
                let event: Value = serde_json::from_str(data).expect("an event is JSON");
                return Some(event["choices"][0]["text"].as_str().unwrap().to_owned());
            }
            let bytes = self.response.chunk().await.unwrap()?;
            self.pending.extend_from_slice(&bytes);
        }
    }

    /// All the text that is still to come.
    pub(crate) async fn rest(mut self) -> String {
        let mut text = String::new();
        while let Some(piece) = self.next().await {
            text.push_str(&piece);
        }
        text
    }
}
