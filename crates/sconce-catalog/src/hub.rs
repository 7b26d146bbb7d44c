//! A model out of a hub's repository, resumed where an earlier download stopped.
//!
//! Why two clients: hf-hub 1.0 loads the bytes (and knows the hub's ways of storing them), but it
//! neither resumes a download nor sees the sha256 of a file that lies behind a redirect, since the
//! hub states it on the redirect itself. So the file is first looked up here, redirect by redirect,
//! and hf-hub is then asked for the range of bytes that is still missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use hf_hub::{HFClient, HFError};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::io::AsyncWriteExt;

use crate::fetch::{FetchSettings, Wanted};
use crate::slot::{Expected, Staged};
use crate::{CatalogError, FetchProgress, HubFile, ProgressSink};

/// A hub that cannot be reached should not keep a user waiting for the next source.
const CONNECT_MAX: Duration = Duration::from_secs(8);

/// Attempts that bring no byte before a download is given up. Each byte starts the count anew.
const FRUITLESS_ATTEMPTS_MAX: u32 = 3;

/// Redirects that are followed to find out what a file is.
const REDIRECTS_MAX: usize = 5;

/// Downloads the file into the staging folder, from where an interrupted download stopped.
pub(crate) async fn fetch(
    file: &HubFile,
    wanted: &Wanted<'_>,
    settings: &FetchSettings,
    progress: ProgressSink<'_>,
) -> Result<Staged, CatalogError> {
    let hub = Hub::connect(file, settings)?;
    let found = hub.look_up().await?;
    let expected = agree(wanted.expected, &found, file)?;
    if expected.sha256.is_none() {
        tracing::warn!(%file, "the hub states no sha256: only the size of this file can be checked");
    }
    let partial = partial_path(wanted, &found, expected)?;
    progress(FetchProgress::Started {
        origin: file.to_string(),
        bytes_done: bytes_of(&partial),
        bytes_total: expected.bytes,
    });
    hub.download(&partial, expected.bytes, progress).await?;
    let origin = match found.commit {
        Some(commit) => format!("{file} (commit {commit})"),
        None => file.to_string(),
    };
    Ok(Staged {
        path: partial,
        expected,
        origin,
    })
}

/// What the hub says about a file before it is downloaded.
#[derive(Debug, Default)]
struct Found {
    expected: Expected,
    /// Changes when the content does.
    etag: Option<String>,
    commit: Option<String>,
}

impl Found {
    fn says_something(&self) -> bool {
        self.etag.is_some() || self.expected.bytes.is_some()
    }
}

/// What the card and the hub know together. A contradiction is found before anything is loaded.
fn agree(card: Expected, found: &Found, file: &HubFile) -> Result<Expected, CatalogError> {
    let hub = found.expected;
    match (card.bytes, hub.bytes) {
        (Some(expected), Some(found)) if expected != found => {
            return Err(CatalogError::FetchedSize {
                origin: file.to_string(),
                found,
                expected,
            });
        }
        _ => {}
    }
    match (card.sha256, hub.sha256) {
        (Some(expected), Some(found)) if expected != found => Err(CatalogError::FetchedSha256 {
            origin: file.to_string(),
            found,
            expected,
        }),
        _ => Ok(Expected {
            bytes: card.bytes.or(hub.bytes),
            sha256: card.sha256.or(hub.sha256),
        }),
    }
}

/// The unfinished download of exactly this content; those of other contents are deleted.
fn partial_path(
    wanted: &Wanted<'_>,
    found: &Found,
    expected: Expected,
) -> Result<PathBuf, CatalogError> {
    let key = match (expected.sha256, &found.etag) {
        (Some(sha256), _) => sha256.to_string(),
        (None, Some(etag)) => etag
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(64)
            .collect(),
        (None, None) => String::from("unknown"),
    };
    let staging = wanted.slot.staging();
    let partial = staging.join(format!("{key}.partial"));
    let entries = fs::read_dir(&staging).map_err(CatalogError::io("list", &staging))?;
    for path in entries.filter_map(Result::ok).map(|it| it.path()) {
        if path != partial && path.extension().is_some_and(|it| it == "partial") {
            fs::remove_file(&path).map_err(CatalogError::io("delete", &path))?;
        }
    }
    Ok(partial)
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

/// One file of the hub and the clients that reach it.
struct Hub<'a> {
    file: &'a HubFile,
    settings: &'a FetchSettings,
    lookup: Client,
    loader: HFClient,
}

impl<'a> Hub<'a> {
    fn connect(file: &'a HubFile, settings: &'a FetchSettings) -> Result<Self, CatalogError> {
        let wrong = |error: &dyn std::error::Error| CatalogError::HubEndpoint {
            endpoint: settings
                .hub_endpoint
                .clone()
                .unwrap_or_else(|| "the hub".to_owned()),
            reason: error.to_string(),
        };
        let client = || {
            Client::builder()
                .user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_MAX)
                .read_timeout(settings.hub_silence_max)
        };
        let lookup = client()
            .redirect(Policy::none())
            .build()
            .map_err(|error| wrong(&error))?;
        let mut loader = HFClient::builder()
            .client(client().build().map_err(|error| wrong(&error))?)
            .retry_max_attempts(1)
            .cache_enabled(false);
        if let Some(endpoint) = &settings.hub_endpoint {
            loader = loader.endpoint(endpoint);
        }
        if let Some(token) = &settings.hub_token {
            loader = loader.token(token);
        }
        let loader = loader.build().map_err(|error| wrong(&error))?;
        Ok(Self {
            file,
            settings,
            lookup,
            loader,
        })
    }

    /// Asks what the file is, without its content.
    async fn look_up(&self) -> Result<Found, CatalogError> {
        let home = self.url()?;
        let mut url = home.clone();
        for _ in 0..REDIRECTS_MAX {
            let mut request = self.lookup.head(url.clone());
            // The token is for the hub alone, not for where it redirects to.
            if let Some(token) = self
                .settings
                .hub_token
                .as_ref()
                .filter(|_| is_same(&url, &home))
            {
                request = request.bearer_auth(token);
            }
            let response = request
                .send()
                .await
                .map_err(|error| self.broken(&error.without_url()))?;
            let status = response.status();
            if !status.is_success() && !status.is_redirection() {
                let code = text_of(response.headers(), "x-error-code");
                return Err(self.refused(status.as_u16(), code.as_deref()));
            }
            let found = found_in(&response);
            match text_of(response.headers(), LOCATION.as_str()) {
                Some(location) if status.is_redirection() && !found.says_something() => {
                    url = url.join(&location).map_err(|error| self.broken(&error))?;
                }
                _ => return Ok(found),
            }
        }
        Err(self.unreachable(format!("it redirected more than {REDIRECTS_MAX} times")))
    }

    fn url(&self) -> Result<Url, CatalogError> {
        let endpoint = self.loader.endpoint();
        let wrong = |reason: String| CatalogError::HubEndpoint {
            endpoint: endpoint.to_owned(),
            reason,
        };
        let mut url = Url::parse(endpoint).map_err(|error| wrong(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| wrong("it is no http address".to_owned()))?
            .pop_if_empty()
            .extend([
                self.file.owner(),
                self.file.repository(),
                "resolve",
                self.file.revision(),
            ])
            .extend(self.file.file().split('/'));
        Ok(url)
    }

    /// Loads until the file is whole; a broken connection is taken up where it broke.
    async fn download(
        &self,
        partial: &Path,
        bytes_total: Option<u64>,
        progress: ProgressSink<'_>,
    ) -> Result<(), CatalogError> {
        let mut fruitless = 0;
        loop {
            let before = bytes_of(partial);
            let error = match self.download_once(partial, bytes_total, progress).await {
                Ok(()) => return Ok(()),
                Err(error @ CatalogError::HubUnreachable { .. }) => error,
                Err(error) => return Err(error),
            };
            fruitless = if bytes_of(partial) > before {
                0
            } else {
                fruitless + 1
            };
            if fruitless == FRUITLESS_ATTEMPTS_MAX {
                return Err(error);
            }
            tracing::debug!(%error, "a download is taken up again");
            tokio::time::sleep(Duration::from_millis(200 << fruitless)).await;
        }
    }

    async fn download_once(
        &self,
        partial: &Path,
        bytes_total: Option<u64>,
        progress: ProgressSink<'_>,
    ) -> Result<(), CatalogError> {
        let have = bytes_of(partial);
        if bytes_total == Some(have) {
            return Ok(());
        }
        let (mut have, mut stream) = self.start(have, bytes_total).await?;
        let mut out = tokio::fs::File::options()
            .create(true)
            .write(true)
            .truncate(have == 0)
            .append(have > 0)
            .open(partial)
            .await
            .map_err(CatalogError::io("write", partial))?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.failed(error))?;
            let chunk = chunk.as_ref();
            have += chunk.len() as u64;
            if let Some(expected) = bytes_total.filter(|it| have > *it) {
                drop(out);
                fs::remove_file(partial).map_err(CatalogError::io("delete", partial))?;
                let origin = self.file.to_string();
                return Err(CatalogError::FetchedSize {
                    origin,
                    found: have,
                    expected,
                });
            }
            out.write_all(chunk)
                .await
                .map_err(CatalogError::io("write", partial))?;
            progress(FetchProgress::Advanced { bytes_done: have });
        }
        out.flush()
            .await
            .map_err(CatalogError::io("write", partial))?;
        match bytes_total {
            Some(total) if have < total => {
                Err(self.unreachable(format!("it stopped after {have} of {total} bytes")))
            }
            _ => out
                .sync_all()
                .await
                .map_err(CatalogError::io("write", partial)),
        }
    }

    /// Bytes that need not be loaded again, and the stream of those behind them. A hub that does
    /// not do ranges sends the whole file: then it starts at zero.
    async fn start(
        &self,
        have: u64,
        bytes_total: Option<u64>,
    ) -> Result<
        (
            u64,
            impl Stream<Item = Result<impl AsRef<[u8]>, HFError>> + Unpin,
        ),
        CatalogError,
    > {
        if let Some(total) = bytes_total.filter(|total| (1..*total).contains(&have)) {
            let (length, stream) = self.open(Some(have..total)).await?;
            if length == Some(total - have) {
                return Ok((have, stream));
            }
        }
        Ok((0, self.open(None).await?.1))
    }

    async fn open(
        &self,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<
        (
            Option<u64>,
            impl Stream<Item = Result<impl AsRef<[u8]>, HFError>> + Unpin,
        ),
        CatalogError,
    > {
        self.loader
            .model(self.file.owner(), self.file.repository())
            .download_file_stream()
            .filename(self.file.file())
            .revision(self.file.revision())
            .maybe_range(range)
            .send()
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: HFError) -> CatalogError {
        let status = match &error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::RateLimited { context, .. } => Some(context.status.as_u16()),
            HFError::EntryNotFound { .. } => Some(404),
            _ => None,
        };
        match status {
            Some(status) => self.refused(status, None),
            None => self.broken(&error),
        }
    }

    fn broken(&self, error: &dyn std::error::Error) -> CatalogError {
        let mut reason = error.to_string();
        // The outermost error of a client says little more than that a request failed.
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_reason = inner.to_string();
            if !reason.contains(&inner_reason) {
                reason = format!("{reason}: {inner_reason}");
            }
            source = inner.source();
        }
        self.unreachable(reason)
    }

    fn unreachable(&self, reason: String) -> CatalogError {
        CatalogError::HubUnreachable {
            file: self.described(),
            reason,
        }
    }

    fn refused(&self, status: u16, code: Option<&str>) -> CatalogError {
        let remedy = match (status, code) {
            (401, _) if self.settings.hub_token.is_some() => {
                "it does not accept the token; check HF_TOKEN or --hub-token"
            }
            (401, _) => {
                "the repository is private or gated, or its name is wrong; \
                 set HF_TOKEN or --hub-token, or correct the name"
            }
            (403, _) => "accept the repository's terms with the account that the token belongs to",
            (404, Some("RevisionNotFound")) => "the repository has no such revision; correct it",
            (404, Some("EntryNotFound")) => "the repository has no such file; correct its path",
            (404, _) => "there is no such thing; correct repository, revision or file",
            (429, _) => "there were too many requests; wait some minutes and run the command again",
            (500.., _) => "the hub has a fault of its own; run the command again later",
            _ => "that is unexpected; check HF_ENDPOINT or --hub-endpoint",
        };
        CatalogError::HubRefused {
            status,
            file: self.described(),
            remedy,
        }
    }

    fn described(&self) -> String {
        let file = self.file;
        format!(
            "file {} of repository {}/{}, revision {}",
            file.file(),
            file.owner(),
            file.repository(),
            file.revision()
        )
    }
}

fn is_same(url: &Url, home: &Url) -> bool {
    url.origin() == home.origin()
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The hub states size and digest of a large file on its own redirect; for a small file, and where
/// the redirect leads, the usual headers say it.
fn found_in(response: &Response) -> Found {
    let headers = response.headers();
    let text = |name: &str| text_of(headers, name);
    let is_end = response.status().is_success();
    let etag = text("x-linked-etag").or_else(|| text(ETAG.as_str()).filter(|_| is_end));
    let etag = etag.map(|it| it.trim_start_matches("W/").trim_matches('"').to_owned());
    let bytes = text("x-linked-size").or_else(|| text(CONTENT_LENGTH.as_str()).filter(|_| is_end));
    Found {
        expected: Expected {
            // Some servers answer a question without content with the length of no content.
            bytes: bytes.and_then(|it| it.parse().ok()).filter(|it| *it > 0),
            sha256: etag.as_ref().and_then(|it| it.parse().ok()),
        },
        etag,
        commit: text("x-repo-commit"),
    }
}
