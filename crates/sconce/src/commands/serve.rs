//! `sconce serve`: listen at once, load, answer until told to stop.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sconce_http::{HttpLimits, HttpState};
use sconce_pipeline::{Displaces, MemoryLimits, ModelStatus, Pipeline};
use tokio::net::TcpListener;

use crate::access::Entrance;
use crate::arguments::{FetchArguments, ServeArguments};
use crate::config::Merged;
use crate::logging::LogLevel;
use crate::output::say;
use crate::recording::recorded;
use crate::reload::{Live, Reload};
use crate::signals::StopSignal;
use crate::{declaring, sizing};

/// Serves until a signal comes, then lets running requests finish.
pub(crate) async fn run(
    arguments: ServeArguments,
    fetching: &FetchArguments,
    (words, merged, log_level): (Vec<OsString>, Merged, LogLevel),
) -> Result<()> {
    let entrance = Entrance::open(&arguments.access)?;
    let memory_bytes = arguments
        .sharing
        .memory_max
        .or_else(sizing::free_memory_bytes);
    let keys = entrance.keys();
    let forgets = entrance.forgets;
    let pipeline = pipeline(&arguments, memory_bytes).charging(entrance.accounts);
    let pipeline = Arc::new(recorded(pipeline, &arguments.records)?);
    let tls = Entrance::tls(&arguments.access.tls)?;
    let live = Live {
        keys,
        forgets,
        tls: tls.clone(),
        log_level,
        pipeline: Arc::clone(&pipeline),
    };
    Reload::new(words, &merged, live).at_each_hangup()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    declaring::declare(&pipeline, &arguments, fetching, memory_bytes)?;
    let listener = bind(arguments.access.listen).await?;
    let address = listener.local_addr()?;
    let limits = HttpLimits {
        drain_timeout_s: arguments.limits.drain_timeout_s,
        keep_alive_s: arguments.limits.keep_alive_s.get().into(),
        ..HttpLimits::default()
    };
    let state = HttpState {
        pipeline: Arc::clone(&pipeline),
        limits,
        access: entrance.access,
        tls,
    };
    let signal = StopSignal::listen()?;
    let mut server = tokio::spawn(sconce_http::serve(listener, state, signal.wait()));
    say(&format!("listening on {scheme}://{address}"));
    tokio::select! {
        started = start(&pipeline) => started?,
        ended = &mut server => return Ok(ended?),
    }
    say(&example((scheme, address), arguments.access.keys.is_some()));
    tokio::select! {
        () = pipeline.unload_the_idle() => {}
        ended = server => ended?,
    }
    pipeline.close().await;
    Ok(())
}

fn pipeline(arguments: &ServeArguments, memory_bytes: Option<u64>) -> Pipeline {
    let limits = declaring::admission_limits(&arguments.limits);
    let memory = MemoryLimits {
        bytes_max: memory_bytes,
        ..MemoryLimits::default()
    };
    Pipeline::with_memory(limits, memory)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another server there? choose one with --listen")
    })
}

/// Loads the models that are to be there from the start, one after the other, as far as there is
/// room.
async fn start(pipeline: &Pipeline) -> Result<()> {
    let mut failures = Vec::new();
    let models = pipeline.model_entries();
    let at_start = models
        .iter()
        .filter(|it| it.status == ModelStatus::Declared);
    for name in at_start.map(|it| &it.name) {
        let entry = pipeline.load_model(name, Displaces::Nobody).await?;
        match entry.status {
            ModelStatus::Failed { fact } => failures.push(format!("{name}: {fact}")),
            ModelStatus::Unloaded => say(&format!(
                "{name} finds no room beside the others; it is loaded when it is asked for"
            )),
            _ => {}
        }
    }
    if failures.len() == models.len() {
        bail!(failures.join("\n"));
    }
    Ok(())
}

/// A first request, ready to be pasted on this machine.
fn example((scheme, mut address): (&str, SocketAddr), needs_key: bool) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let key = if needs_key {
        "-H \"x-api-key: $SCONCE_KEY\" "
    } else {
        ""
    };
    format!(
        "try it:\n  curl -N {scheme}://{address}/v1/chat/completions {key}-H 'Content-Type: application/json' \\\n    \
         -d '{{\"messages\": [{{\"role\": \"user\", \"content\": \"Say hello.\"}}], \"stream\": true}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::example;

    #[test]
    fn the_first_request_reaches_this_machine_and_brings_a_key_where_one_is_asked_for() {
        let first = |scheme, address: &str, needs_key| {
            example((scheme, address.parse().unwrap()), needs_key)
        };
        let open = first("http", "127.0.0.1:8080", false);
        assert!(open.contains("curl -N http://127.0.0.1:8080/v1/chat/completions -H 'Content"));
        let guarded = first("https", "0.0.0.0:80", true);
        assert!(guarded.contains("https://127.0.0.1:80/v1") && guarded.contains("$SCONCE_KEY"));
        assert!(first("http", "[::]:80", true).contains("http://[::1]:80/v1"));
    }
}
