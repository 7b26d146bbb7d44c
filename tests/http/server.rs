//! A server process and the requests that tests send it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::stream::Stream;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sconce-under-test");
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// The certificate of `localhost` that tests show; it vouches for itself.
pub(crate) const CERTIFICATE: &str = include_str!("certificate/localhost.pem");

/// One server at a time: each wants all processors, and some tests measure.
static TURN: Mutex<()> = Mutex::const_new(());

/// Resident pages of a release build's own file: 14 MB were measured.
const RELEASED_PROGRAM_BYTES: f64 = 15e6;

/// A server process. Killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    printed: Receiver<String>,
    pub(crate) url: String,
    client: Client,
    _turn: MutexGuard<'static, ()>,
}

impl Server {
    /// Starts a server with more arguments and waits until its model is loaded.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_logging_to(Stdio::inherit(), arguments).await
    }

    /// The same with log lines that go elsewhere than the test's own.
    pub(crate) async fn start_logging_to(log: Stdio, arguments: &[&str]) -> Self {
        let server = Self::launch_logging_to(log, arguments).await;
        server
            .until("the model is loaded", 300, async || {
                server.get("/ready").await.status().is_success()
            })
            .await;
        server
    }

    /// Starts a server with more arguments and waits until it listens.
    pub(crate) async fn launch(arguments: &[&str]) -> Self {
        Self::launch_logging_to(Stdio::inherit(), arguments).await
    }

    async fn launch_logging_to(log: Stdio, arguments: &[&str]) -> Self {
        let turn = TURN.lock().await;
        // The signal that comes with too long a file is passed over, so that a limit to files
        // (`limit_file_bytes`) is the error that a full disk is.
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM])
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, printed) = channel();
        // All is read at once, so that the server never waits for a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _nobody_listens_any_more = sender.send(line);
            }
        });
        let mut server = Self {
            process,
            printed,
            url: String::new(),
            client: trusting(),
            _turn: turn,
        };
        let first = server.printed_line();
        server.url = first.strip_prefix("listening on ").unwrap().to_owned();
        server
    }

    /// The next line that the server printed.
    pub(crate) fn printed_line(&self) -> String {
        self.printed.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Sets how long a file may become that the process writes.
    pub(crate) fn limit_file_bytes(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |it| it.to_string());
        let set = Command::new("prlimit")
            .args(["--pid", &self.process.id().to_string()])
            .arg(format!("--fsize={limit}:unlimited"))
            .status();
        assert!(set.unwrap().success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks again and again until the answer is yes.
    pub(crate) async fn until(&self, what: &str, timeout_s: u64, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(timeout_s);
        while !is_so().await {
            assert!(
                Instant::now() < deadline,
                "not so after {timeout_s} s: {what}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
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

    /// Looks with a key.
    pub(crate) async fn get_as(&self, key: &str, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url));
        request.bearer_auth(key).send().await.unwrap()
    }

    /// Asks with a key.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Response {
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.bearer_auth(key).body(body.to_string());
        request.send().await.unwrap()
    }

    /// The value of a metric that has no labels.
    pub(crate) async fn count(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let value = text.lines().find_map(|it| it.strip_prefix(name));
        value.unwrap().trim().parse().unwrap()
    }

    /// The first value of a metric, which is the default model's.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let value = text
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix('{'));
        value.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric_alone(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let value = text
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }

    /// What the server has taken in memory, and what a released program's own pages take: those of
    /// the program under test, which is built for debugging, are larger.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|it| it.strip_prefix("RssAnon:"))
            .unwrap();
        let anonymous = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0;
        anonymous + RELEASED_PROGRAM_BYTES
    }

    /// The answer to a request that is not streamed.
    pub(crate) async fn whole(&self, path: &str, request: &Value) -> Value {
        let response = self.post(path, request.to_string()).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{request} got {status}: {answer}");
        answer
    }

    /// Begins the stream of an answer, with the usage at its end.
    pub(crate) async fn streamed(&self, path: &str, request: &Value) -> Stream {
        let mut request = request.clone();
        request["stream"] = json!(true);
        request["stream_options"] = json!({"include_usage": true});
        let response = self.post(path, request.to_string()).await;
        assert!(response.status().is_success(), "{request}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream::new(response)
    }

    /// Begins a streamed completion at temperature zero.
    pub(crate) async fn stream(&self, prompt: &str, tokens_max: u32) -> Stream {
        let request = json!({"prompt": prompt, "max_tokens": tokens_max, "temperature": 0});
        self.streamed(COMPLETIONS, &request).await
    }
}

/// A client that trusts the tests' own certificate, and no other.
fn trusting() -> Client {
    let certificate = Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([certificate]);
    client.build().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _status = self.process.wait();
    }
}
