//! A server on a real socket.

use std::net::SocketAddr;
use std::sync::Arc;

use sconce_http::{Access, HostNames, HttpLimits, HttpState, serve};
use sconce_pipeline::Pipeline;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Server {
    pub(crate) async fn start(pipeline: &Arc<Pipeline>, limits: HttpLimits) -> Self {
        let access = Access::Open(Arc::new(HostNames::default()));
        Self::start_for(pipeline, limits, access).await
    }

    /// A server for those whom `access` lets in.
    pub(crate) async fn start_for(
        pipeline: &Arc<Pipeline>,
        limits: HttpLimits,
        access: Access,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = HttpState {
            pipeline: Arc::clone(pipeline),
            limits,
            access,
            tls: None,
        };
        let (shutdown, wanted) = oneshot::channel();
        let task = tokio::spawn(serve(listener, state, async {
            let _ = wanted.await;
        }));
        Self {
            address,
            shutdown: Some(shutdown),
            task,
        }
    }

    /// Begins the shutdown.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// Waits for the server's end.
    pub(crate) async fn ended(self) {
        self.task.await.unwrap();
    }

    /// Sends bytes, and reads until the server closes.
    pub(crate) async fn bytes(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_reply(&mut stream).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.bytes(&head("GET", path, 0)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.bytes(&[&head("POST", path, body.len()), body].concat())
            .await
    }

    /// Opens a connection and sends a request on it.
    pub(crate) async fn open(&self, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = [&head("POST", path, body.len()), body.as_bytes()].concat();
        stream.write_all(&request).await.unwrap();
        stream
    }
}

/// A request's head; the server closes the connection after the answer.
pub(crate) fn head(method: &str, path: &str, length: usize) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) async fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.contains("transfer-encoding: chunked");
    let body = if chunked {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Reply {
        status,
        head: head.to_owned(),
        body,
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
        if length == 0 {
            break;
        }
    }
    body
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The data of each event, comments left out.
    pub(crate) fn events(&self) -> Vec<&str> {
        let lines = self
            .body
            .lines()
            .filter(|it| !it.is_empty() && !it.starts_with(':'));
        lines
            .map(|it| it.strip_prefix("data: ").expect("a line of data"))
            .collect()
    }

    /// The events as JSON, without the last one, `[DONE]`.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop(), Some("[DONE]"), "{self:?}");
        events
            .iter()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|it| it.split_once(": "));
        lines
            .into_iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}
