//! Who may ask the server, from the command line.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use sconce_http::{Access, HostNames, SharedKeys};

use crate::arguments::AccessArguments;
use crate::commands::keys;

/// Who may ask a server that listens as `arguments` say.
pub(crate) fn access(arguments: &AccessArguments) -> Result<Access> {
    let AccessArguments {
        listen,
        keys: file,
        allow_host,
    } = arguments;
    if let Some(file) = file {
        return Ok(Access::Keys(SharedKeys::new(keys::read(file)?)));
    }
    if !listen.ip().is_loopback() {
        bail!(
            "--listen {listen} can be reached from other machines, and nothing keeps strangers out; \
             make a key with `sconce keys add` and give its file with --keys, or listen on 127.0.0.1"
        );
    }
    let hosts = HostNames::local_and(allow_host.clone());
    Ok(Access::Open(Arc::new(hosts)))
}

/// Reads the file of keys again at each SIGHUP; one with a fault changes nothing.
#[cfg(unix)]
pub(crate) fn reload_on_hangup(access: &Access, file: Option<PathBuf>) -> Result<()> {
    let (Access::Keys(shared), Some(file)) = (access.clone(), file) else {
        return Ok(());
    };
    let kind = tokio::signal::unix::SignalKind::hangup();
    let mut hangup = tokio::signal::unix::signal(kind)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match keys::read(&file) {
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
pub(crate) fn reload_on_hangup(_: &Access, _: Option<PathBuf>) -> Result<()> {
    Ok(())
}
