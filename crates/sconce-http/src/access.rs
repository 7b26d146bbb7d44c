//! Who may ask: the one place that reads credentials.
//!
//! A handler that takes an [`Authorized`] or an [`Admin`] is not reached without one, whatever its path
//! looks like. Where no keys are asked for, a request must name this machine as its host: otherwise any
//! page in a browser here could have a name of its own lead to the server.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sconce_domain::{Caller, Priority, RequestId};
use sconce_keys::{Denied, Key, KeyRing};

use crate::error::HttpError;
use crate::hosts::HostNames;
use crate::routes::HttpState;

/// How a client shows that it may ask.
#[derive(Debug, Clone)]
pub enum Access {
    /// It speaks to one of these hosts, and that is enough.
    Open(Arc<HostNames>),
    /// It has a key.
    Keys(SharedKeys),
}

/// Keys that can be exchanged while requests are served.
#[derive(Debug, Clone)]
pub struct SharedKeys(Arc<RwLock<Arc<KeyRing>>>);

impl SharedKeys {
    /// Asks for these keys from now on.
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(ring))))
    }

    /// Asks for these keys instead. Requests that were let in go on.
    pub fn replace(&self, ring: KeyRing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    fn find(&self, sent: &str) -> Result<Arc<Key>, Denied> {
        let ring = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        ring.find(sent, SystemTime::now())
    }
}

/// Who asks, told to those who see the request before and after whoever reads its credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asking(Arc<OnceLock<Caller>>);

impl Asking {
    /// Who it was, if it may ask and has limits.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.0.get().filter(|it| !it.allowances.is_empty())
    }
}

/// A client that may ask.
#[derive(Debug, Clone)]
pub(crate) struct Authorized {
    /// For whom it asks.
    pub(crate) caller: Caller,
    most_urgent: Priority,
    is_admin: bool,
}

/// A client that may manage the server. To others, what takes one is not there.
#[derive(Debug, Clone)]
pub(crate) struct Admin;

impl Authorized {
    fn anybody() -> Self {
        Self {
            caller: Caller::anybody(),
            most_urgent: Priority(i32::MIN),
            is_admin: true,
        }
    }

    fn by_key(key: &Key) -> Self {
        Self {
            caller: Caller {
                key: Some(Arc::clone(&key.name)),
                tenant: key.tenant.clone(),
                weight: key.weight,
                allowances: Arc::clone(&key.allowances),
            },
            most_urgent: key.most_urgent,
            is_admin: key.is_admin,
        }
    }

    /// Refuses a priority that the client's key does not allow.
    pub(crate) fn check_priority(&self, asked: Priority) -> Result<(), HttpError> {
        if asked < self.most_urgent {
            return Err(HttpError::TooUrgent {
                asked: asked.0,
                most_urgent: self.most_urgent.0,
            });
        }
        Ok(())
    }
}

impl FromRequestParts<HttpState> for Authorized {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, HttpError> {
        let found = match &state.access {
            Access::Open(hosts) => hosts.check(parts).map(|()| Self::anybody()),
            Access::Keys(keys) => authorized(keys, &parts.headers),
        };
        if let (Err(error), Some(id)) = (&found, parts.extensions.get::<RequestId>()) {
            state.pipeline.turn_away(*id, error.code()).await;
        }
        if let (Ok(client), Some(Asking(cell))) = (&found, parts.extensions.get()) {
            cell.get_or_init(|| client.caller.clone());
        }
        found
    }
}

impl FromRequestParts<HttpState> for Admin {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, HttpError> {
        let authorized = Authorized::from_request_parts(parts, state).await?;
        if authorized.is_admin {
            return Ok(Self);
        }
        Err(HttpError::no_route(&parts.uri))
    }
}

fn authorized(keys: &SharedKeys, headers: &HeaderMap) -> Result<Authorized, HttpError> {
    let sent = credential(headers)?;
    match keys.find(sent) {
        Ok(key) => Ok(Authorized::by_key(&key)),
        Err(Denied::Unknown) => Err(HttpError::WrongKey),
        Err(Denied::Expired) => Err(HttpError::ExpiredKey),
    }
}

/// The one key that a client sent, in whichever header; two that differ are no key.
fn credential(headers: &HeaderMap) -> Result<&str, HttpError> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter();
    let bearer = bearer.map(|it| it.to_str().ok().and_then(bearer_token));
    let plain = headers.get_all("x-api-key").iter();
    let plain = plain.map(|it| it.to_str().ok().map(str::trim));
    let mut sent = bearer.chain(plain);
    let first = sent.next().ok_or(HttpError::NoKey)?;
    let first = first.ok_or(HttpError::WrongKey)?;
    if sent.any(|it| it != Some(first)) {
        return Err(HttpError::WrongKey);
    }
    Ok(first)
}

/// The token of `Bearer TOKEN` (RFC 6750, section 2.1); the scheme's case is free (RFC 9110, 11.1).
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}
