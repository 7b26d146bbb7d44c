//! A hub on this machine: it redirects to a second server, does ranges, and fails as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, stream};

/// How the hub behaves. The default serves an open repository through a redirect.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// The token that is asked for.
    pub(crate) token: Option<&'static str>,
    /// Answers everything with this status and error code.
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// The files there are, where not every name leads to the same content.
    pub(crate) files: BTreeMap<&'static str, Vec<u8>>,
    /// What the hub says the file's digest is.
    pub sha256: Option<String>,
    /// What the hub says the file's size is; the content's, if it says nothing else.
    pub(crate) bytes: Option<u64>,
    pub(crate) door: Door,
    pub(crate) ranges: Ranges,
}

/// Where the bytes come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Door {
    /// A second server, that the hub redirects to.
    #[default]
    Storage,
    /// The hub itself.
    Hub,
}

/// What becomes of a wish for a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// It is granted.
    #[default]
    Granted,
    /// The whole file is sent, without a word about its length.
    Ignored,
}

/// How one download ends before it is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// The connection closes after so many bytes.
    Closes(usize),
    /// Nothing more comes after so many bytes.
    Stalls(usize),
}

/// A request as the hub saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) has_token: bool,
}

struct Hub {
    content: Vec<u8>,
    manners: Manners,
    storage: String,
    endings: Mutex<VecDeque<Ending>>,
    seen: Mutex<Vec<Seen>>,
}

/// A running hub. It lives as long as the test's runtime.
pub(crate) struct LocalHub {
    pub(crate) endpoint: String,
    hub: Arc<Hub>,
}

impl LocalHub {
    pub(crate) async fn start(content: &[u8], manners: Manners) -> Self {
        let front = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let storage = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", front.local_addr().unwrap());
        let hub = Arc::new(Hub {
            content: content.to_vec(),
            manners,
            storage: format!("http://{}", storage.local_addr().unwrap()),
            endings: Mutex::default(),
            seen: Mutex::default(),
        });
        let doors = Router::new()
            .route(
                "/{owner}/{repository}/resolve/{revision}/{*file}",
                get(resolve),
            )
            .with_state(Arc::clone(&hub));
        let shelves = Router::new()
            .route("/storage/{*file}", get(serve))
            .with_state(Arc::clone(&hub));
        tokio::spawn(async move { axum::serve(front, doors).await });
        tokio::spawn(async move { axum::serve(storage, shelves).await });
        Self { endpoint, hub }
    }

    /// The next downloads end like this; those after them are whole.
    pub(crate) fn end_next(&self, endings: impl IntoIterator<Item = Ending>) {
        self.hub.endings.lock().unwrap().extend(endings);
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.hub.seen.lock().unwrap().clone()
    }

    /// The ranges of all downloads from the storage so far.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        let is_download = |it: &Seen| it.method == Method::GET && it.path.starts_with("/storage");
        self.seen()
            .into_iter()
            .filter(is_download)
            .map(|it| it.range)
            .collect()
    }
}

impl Hub {
    fn note(&self, method: &Method, path: String, headers: &HeaderMap) {
        let range = headers
            .get(header::RANGE)
            .map(|it| it.to_str().unwrap().to_owned());
        let has_token = headers.contains_key(header::AUTHORIZATION);
        self.seen.lock().unwrap().push(Seen {
            method: method.clone(),
            path,
            range,
            has_token,
        });
    }

    /// The bytes under a name, if there are any.
    fn content_of(&self, file: &str) -> Option<&[u8]> {
        if self.manners.files.is_empty() {
            return Some(&self.content);
        }
        self.manners.files.get(file).map(Vec::as_slice)
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<(u16, &'static str)> {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|it| it.to_str().ok());
        let is_known = self
            .manners
            .token
            .is_none_or(|it| token == Some(&format!("Bearer {it}")));
        self.manners
            .refusal
            .or((!is_known).then_some((401, "GatedRepo")))
    }
}

type RepositoryPath = Path<(String, String, String, String)>;

async fn resolve(
    State(hub): State<Arc<Hub>>,
    Path((owner, repository, revision, file)): RepositoryPath,
    method: Method,
    headers: HeaderMap,
) -> Response {
    hub.note(
        &method,
        format!("/{owner}/{repository}/{revision}/{file}"),
        &headers,
    );
    if let Some((status, code)) = hub.refusal(&headers) {
        let builder = Response::builder()
            .status(status)
            .header("x-error-code", code);
        return builder.body(Body::empty()).unwrap();
    }
    let Some(content) = hub.content_of(&file) else {
        let builder = Response::builder().status(StatusCode::NOT_FOUND);
        let builder = builder.header("x-error-code", "EntryNotFound");
        return builder.body(Body::empty()).unwrap();
    };
    let etag = hub
        .manners
        .sha256
        .clone()
        .unwrap_or_else(|| "not-a-digest".to_owned());
    if hub.manners.door == Door::Hub {
        let mut response = send((&hub, content), &method, &headers);
        response
            .headers_mut()
            .insert(header::ETAG, format!("W/\"{etag}\"").parse().unwrap());
        return response;
    }
    Response::builder()
        .status(StatusCode::FOUND)
        .header(header::LOCATION, format!("{}/storage/{file}", hub.storage))
        .header("x-linked-etag", format!("\"{etag}\""))
        .header(
            "x-linked-size",
            hub.manners.bytes.unwrap_or(content.len() as u64),
        )
        .header("x-repo-commit", "c0ffee")
        .body(Body::empty())
        .unwrap()
}

async fn serve(
    State(hub): State<Arc<Hub>>,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    hub.note(&method, format!("/storage/{file}"), &headers);
    let content = hub.content_of(&file).unwrap_or_default();
    send((&hub, content), &method, &headers)
}

fn send((hub, content): (&Hub, &[u8]), method: &Method, headers: &HeaderMap) -> Response {
    let range = headers
        .get(header::RANGE)
        .filter(|_| hub.manners.ranges == Ranges::Granted);
    let start = range.map_or(0, |it| {
        let text = it.to_str().unwrap().strip_prefix("bytes=").unwrap();
        text.split_once('-').unwrap().0.parse::<usize>().unwrap()
    });
    let rest = content[start..].to_vec();
    let status = if range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let mut builder = Response::builder().status(status);
    if hub.manners.ranges == Ranges::Granted {
        builder = builder.header(header::CONTENT_LENGTH, rest.len());
    }
    if method == Method::HEAD {
        return builder.body(Body::empty()).unwrap();
    }
    let ending = hub.endings.lock().unwrap().pop_front();
    builder.body(body(rest, ending)).unwrap()
}

fn body(rest: Vec<u8>, ending: Option<Ending>) -> Body {
    let chunks = |bytes: &[u8]| -> Vec<Result<Bytes, std::io::Error>> {
        bytes
            .chunks(10_000)
            .map(|it| Ok(Bytes::copy_from_slice(it)))
            .collect()
    };
    match ending {
        None => Body::from_stream(stream::iter(chunks(&rest))),
        Some(Ending::Stalls(bytes)) => {
            Body::from_stream(stream::iter(chunks(&rest[..bytes])).chain(stream::pending()))
        }
        Some(Ending::Closes(bytes)) => {
            let broken = stream::once(async {
                // What was sent has to leave before the connection is torn down.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Err(std::io::Error::other("the cable was pulled"))
            });
            Body::from_stream(stream::iter(chunks(&rest[..bytes])).chain(broken))
        }
    }
}
