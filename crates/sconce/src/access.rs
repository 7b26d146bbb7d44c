//! Who may ask the server, and how much, from the command line.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sconce_http::{Access, HostNames, SharedKeys};
use sconce_keys::KeyRing;
use sconce_pipeline::Accounts;

use crate::arguments::AccessArguments;
use crate::commands::keys;
use crate::paths;
use crate::usage_file::UsageFile;

/// Who may ask, and what is charged to whom.
pub(crate) struct Entrance {
    pub(crate) access: Access,
    pub(crate) accounts: Accounts,
    /// Whether a restart forgets what was used.
    forgets: bool,
}

impl Entrance {
    /// The entrance of a server that listens as `arguments` say.
    pub(crate) fn open(arguments: &AccessArguments) -> Result<Self> {
        let AccessArguments {
            listen,
            keys: file,
            allow_host,
            state,
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
        if !listen.ip().is_loopback() {
            bail!(
                "--listen {listen} can be reached from other machines, and nothing keeps strangers out; \
                 make a key with `sconce keys add` and give its file with --keys, or listen on 127.0.0.1"
            );
        }
        let hosts = HostNames::local_and(allow_host.clone());
        Ok(Self {
            access: Access::Open(Arc::new(hosts)),
            accounts: Accounts::default(),
            forgets: true,
        })
    }

    /// Reads the file of keys again at each SIGHUP; one with a fault changes nothing.
    #[cfg(unix)]
    pub(crate) fn reload_on_hangup(&self, file: Option<PathBuf>) -> Result<()> {
        let (Access::Keys(shared), Some(file)) = (self.access.clone(), file) else {
            return Ok(());
        };
        let forgets = self.forgets;
        let kind = tokio::signal::unix::SignalKind::hangup();
        let mut hangup = tokio::signal::unix::signal(kind)?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let read = keys::read(&file);
                match read.and_then(|it| check_budgets(&it, forgets).map(|()| it)) {
                    Ok(ring) => {
                        tracing::info!(keys = ring.keys().len(), "the keys were read again");
                        shared.replace(ring);
                    }
                    Err(error) => tracing::error!("the keys stay as they were: {error:#}"),
                }
            }
        });
        Ok(())
    }

    /// There is no such signal here: keys change with a restart.
    #[cfg(not(unix))]
    pub(crate) fn reload_on_hangup(&self, _: Option<PathBuf>) -> Result<()> {
        Ok(())
    }
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
