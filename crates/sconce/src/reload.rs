//! SIGHUP: the config file and the keys are read again, and what can change without a restart does.
//!
//! All of it is read and checked before any of it changes: what has a fault leaves everything as it was,
//! and a gauge says so. Requests that were let in go on under the rules that let them in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use sconce_http::{SharedKeys, Tls};
use sconce_pipeline::Pipeline;

use crate::access::Entrance;
use crate::arguments::{Arguments, Command};
use crate::config::{Fault, Merged, Told, merge};
use crate::logging::LogLevel;

/// Settings that change without a restart.
const LIVE: [&str; 4] = ["keys", "log_level", "tls_cert", "tls_key"];

/// What can be changed of a running server.
pub(crate) struct Reload {
    /// The command line.
    words: Vec<OsString>,
    /// The settings that hold now.
    now: BTreeMap<String, Told>,
    live: Live,
}

/// The parts of a running server that can be exchanged.
pub(crate) struct Live {
    pub(crate) keys: Option<SharedKeys>,
    /// Whether a restart forgets what keys have used.
    pub(crate) forgets: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) log_level: LogLevel,
    pub(crate) pipeline: Arc<Pipeline>,
}

/// What changed, and what did not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    keys: Option<usize>,
    changed: Vec<String>,
    needs_restart: Vec<String>,
}

impl Reload {
    /// A server that was started with `words`.
    pub(crate) fn new(words: Vec<OsString>, merged: &Merged, live: Live) -> Self {
        Self {
            words,
            now: by_key(merged),
            live,
        }
    }

    /// Reads everything again at each SIGHUP, until the process ends.
    #[cfg(unix)]
    pub(crate) fn at_each_hangup(mut self) -> Result<()> {
        let kind = tokio::signal::unix::SignalKind::hangup();
        let mut hangup = tokio::signal::unix::signal(kind)?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                // Files are read and keys hashed beside the threads that serve.
                let read = tokio::task::spawn_blocking(move || {
                    let outcome = self.again();
                    (self, outcome)
                });
                let Ok((reload, outcome)) = read.await else {
                    tracing::error!("reading the config again panicked; it stays as it was");
                    return;
                };
                self = reload;
                self.live
                    .pipeline
                    .metrics()
                    .config_reloaded(outcome.is_ok());
                tell(outcome);
            }
        });
        Ok(())
    }

    /// There is no such signal here: everything changes with a restart.
    #[cfg(not(unix))]
    pub(crate) fn at_each_hangup(self) -> Result<()> {
        Ok(())
    }

    fn again(&mut self) -> Result<Outcome> {
        let merged = merge(&self.words).map_err(told)?;
        let Arguments {
            command, log_level, ..
        } = merged.arguments().map_err(told)?;
        let Command::Serve(serve) = command else {
            bail!("the command line is of no server any more");
        };
        let live = &self.live;
        let ring = match (&live.keys, &serve.access.keys) {
            (Some(_), Some(file)) => Some(Entrance::ring(file, live.forgets)?),
            _ => None,
        };
        let next = by_key(&merged);
        let mut outcome = self.differences(&next);
        let tls = Entrance::tls(&serve.access.tls)?;
        live.log_level.set(&log_level)?;
        if let (Some(shown), Some(tls)) = (&live.tls, &tls) {
            shown.replace(tls);
        }
        if let (Some(keys), Some(ring)) = (&live.keys, ring) {
            outcome.keys = Some(ring.keys().len());
            keys.replace(ring);
        }
        // What needs a restart is told each time, until there was one.
        for key in &outcome.changed {
            self.now.insert(key.clone(), next[key].clone());
        }
        Ok(outcome)
    }

    fn differences(&self, next: &BTreeMap<String, Told>) -> Outcome {
        let mut outcome = Outcome::default();
        for (key, told) in next {
            let is_same = self.now.get(key).is_some_and(|it| it.values == told.values);
            if is_same {
                continue;
            }
            let is_live = match key.as_str() {
                // A server that asks for keys can ask for those of another file, and no more than that.
                "keys" => self.live.keys.is_some() && !told.values.is_empty(),
                "tls_cert" | "tls_key" => self.live.tls.is_some() && !told.values.is_empty(),
                key => LIVE.contains(&key),
            };
            match is_live {
                true => outcome.changed.push(key.clone()),
                false => outcome.needs_restart.push(key.clone()),
            }
        }
        outcome
    }
}

fn by_key(merged: &Merged) -> BTreeMap<String, Told> {
    let told = merged.told().into_iter();
    told.map(|it| (it.key.clone(), it)).collect()
}

fn told(fault: Fault) -> anyhow::Error {
    match fault {
        Fault::File(error) => error,
        Fault::CommandLine(error) => anyhow!("{error}"),
    }
}

fn tell(outcome: Result<Outcome>) {
    match outcome {
        Ok(outcome) => {
            let Outcome {
                keys,
                changed,
                needs_restart,
            } = outcome;
            tracing::info!(
                keys,
                changed = changed.join(", "),
                "the config was read again"
            );
            if !needs_restart.is_empty() {
                let settings = needs_restart.join(", ");
                tracing::warn!(settings, "these settings have changed and take a restart");
            }
        }
        Err(error) => {
            tracing::error!("the config, the keys and the certificate stay as they were: {error:#}")
        }
    }
}
