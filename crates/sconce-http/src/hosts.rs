//! The names by which a server without keys may be called.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use crate::error::HttpError;

/// Host names that lead to this server on purpose, besides those of this machine itself.
#[derive(Debug, Clone, Default)]
pub struct HostNames(Vec<String>);

impl HostNames {
    /// This machine's own names, and `more`.
    #[must_use]
    pub fn local_and(more: Vec<String>) -> Self {
        Self(more)
    }

    /// Refuses a request that speaks to another host, or that a page of another host makes.
    pub(crate) fn check(&self, parts: &Parts) -> Result<(), HttpError> {
        let host = parts.headers.get(header::HOST);
        let origin = parts.headers.get(header::ORIGIN);
        let of_origin = |it: &HeaderValue| {
            let text = it.to_str().ok()?;
            Some(text.split_once("://")?.1.to_owned())
        };
        let of_host = |it: &HeaderValue| it.to_str().ok().map(str::to_owned);
        let asked = [host.map(of_host), origin.map(of_origin)];
        for authority in asked.into_iter().flatten() {
            let is_ours = authority.as_deref().is_some_and(|it| self.contains(it));
            if !is_ours {
                let host = authority.unwrap_or_default().chars().take(100).collect();
                return Err(HttpError::StrangeHost { host });
            }
        }
        Ok(())
    }

    fn contains(&self, authority: &str) -> bool {
        let name = name_of(authority);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_local = address.parse().is_ok_and(|it: IpAddr| it.is_loopback());
        let is_named = |it: &String| it.eq_ignore_ascii_case(name);
        is_local || name.eq_ignore_ascii_case("localhost") || self.0.iter().any(is_named)
    }
}

/// An authority without its port (RFC 3986, section 3.2).
fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_its_names_and_those_it_was_given() {
        let hosts = HostNames::local_and(vec!["models.example".to_owned()]);
        for name in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "Models.Example:80",
        ] {
            assert!(hosts.contains(name), "{name}");
        }
        for name in [
            "",
            ":8080",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "127.0.0.1@evil.example",
            "10.0.0.1:8080",
            "[::1]evil.example",
            "models.example:80:80",
        ] {
            assert!(!hosts.contains(name), "{name}");
        }
    }
}
