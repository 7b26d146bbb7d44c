//! Who may ask the server, and how much, from the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sconce_http::{Access, HostNames, SharedKeys, Tls};
use sconce_keys::KeyRing;
use sconce_pipeline::Accounts;

use crate::arguments::{AccessArguments, TlsArguments};
use crate::commands::keys;
use crate::paths;
use crate::usage_file::UsageFile;

/// Who may ask, and what is charged to whom.
pub(crate) struct Entrance {
    pub(crate) access: Access,
    pub(crate) accounts: Accounts,
    /// Whether a restart forgets what was used.
    pub(crate) forgets: bool,
}

impl Entrance {
    /// The entrance of a server that listens as `arguments` say.
    pub(crate) fn open(arguments: &AccessArguments) -> Result<Self> {
        let AccessArguments {
            listen,
            keys: file,
            allow_host,
            state,
            tls: _,
        } = arguments;
        if let Some(file) = file {
            let ring = keys::read(file)?;
            let (accounts, forgets) = match kept(state.state_dir.clone()) {
                Ok(accounts) => (accounts, false),
                Err(error) => {
                    tracing::warn!("a restart will forget what keys have used: {error:#}");
                    (Accounts::default(), true)
                }
            };
            check_budgets(&ring, forgets)?;
            let access = Access::Keys(SharedKeys::new(ring));
            return Ok(Self {
                access,
                accounts,
                forgets,
            });
        }
        check_reach(*listen)?;
        let hosts = HostNames::local_and(allow_host.clone());
        Ok(Self {
            access: Access::Open(Arc::new(hosts)),
            accounts: Accounts::default(),
            forgets: true,
        })
    }

    /// The keys that are asked for.
    pub(crate) fn keys(&self) -> Option<SharedKeys> {
        match &self.access {
            Access::Keys(shared) => Some(shared.clone()),
            Access::Open(_) => None,
        }
    }

    /// The keys in `file`, if a server can ask for them that `forgets` what they use or does not.
    pub(crate) fn ring(file: &Path, forgets: bool) -> Result<KeyRing> {
        let ring = keys::read(file)?;
        check_budgets(&ring, forgets)?;
        Ok(ring)
    }

    /// What the server shows to prove who it is, if it does.
    pub(crate) fn tls(arguments: &TlsArguments) -> Result<Option<Tls>> {
        let (Some(certificates), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
            return Ok(None);
        };
        let read = |file: &Path| {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
        };
        let tls = Tls::new(&read(certificates)?, &read(key)?);
        let tls = tls.with_context(|| format!("{}, {}", certificates.display(), key.display()))?;
        Ok(Some(tls))
    }

    /// Whether a server could open this entrance. Nothing is written.
    pub(crate) fn check(arguments: &AccessArguments) -> Result<()> {
        Self::tls(&arguments.tls)?;
        match &arguments.keys {
            Some(file) => keys::read(file).map(drop),
            None => check_reach(arguments.listen),
        }
    }
}

/// Without keys, strangers must not reach the server.
fn check_reach(listen: SocketAddr) -> Result<()> {
    if !listen.ip().is_loopback() {
        bail!(
            "--listen {listen} can be reached from other machines, and nothing keeps strangers out; \
             make a key with `sconce keys add` and give its file with --keys, or listen on 127.0.0.1"
        );
    }
    Ok(())
}

fn kept(folder: Option<PathBuf>) -> Result<Accounts> {
    let folder = folder.or_else(paths::state_root);
    let folder = folder.context("neither HOME nor XDG_STATE_HOME is set; give --state-dir")?;
    let (file, ledger) = UsageFile::open(&folder)?;
    Ok(Accounts::kept(ledger, Box::new(file)))
}

fn check_budgets(ring: &KeyRing, forgets: bool) -> Result<()> {
    if forgets && ring.has_budgets() {
        bail!(
            "the keys have budgets, and what is used cannot be kept: a restart would give all of it again; \
             see the warning above and give a folder with --state-dir"
        );
    }
    Ok(())
}
