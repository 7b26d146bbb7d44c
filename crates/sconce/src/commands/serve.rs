//! `sconce serve`: listen at once, load, answer until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sconce_http::{HttpLimits, HttpState};
use sconce_pipeline::{AdmissionLimits, EngineThread, Pipeline};
use tokio::net::TcpListener;

use crate::access::{access, reload_on_hangup};
use crate::arguments::{FetchArguments, ServeArguments};
use crate::loading::{Loaded, load};
use crate::output::{bytes_text, count_text, say};
use crate::signals::StopSignal;
use crate::{fetch, sizing};

/// Serves until a signal comes, then lets running requests finish.
pub(crate) async fn run(arguments: ServeArguments, fetching: &FetchArguments) -> Result<()> {
    let access = access(&arguments.access)?;
    reload_on_hangup(&access, arguments.access.keys.clone())?;
    let listener = bind(arguments.access.listen).await?;
    let address = listener.local_addr()?;
    let pipeline = Arc::new(Pipeline::new(AdmissionLimits {
        running_max: arguments.limits.running_max.get(),
        queue_max: arguments.limits.queue_max,
        wait_max: Some(Duration::from_secs(arguments.limits.queue_timeout_s))
            .filter(|it| !it.is_zero()),
    }));
    let drain_timeout_s = arguments.limits.drain_timeout_s;
    let limits = HttpLimits {
        drain_timeout_s,
        ..HttpLimits::default()
    };
    let state = HttpState {
        pipeline: Arc::clone(&pipeline),
        limits,
        access,
    };
    let signal = StopSignal::listen()?;
    let mut server = tokio::spawn(sconce_http::serve(listener, state, signal.wait()));
    say(&format!("listening on http://{address}"));
    let engine = tokio::select! {
        engine = prepare(arguments, fetching, &pipeline, address) => engine?,
        ended = &mut server => return Ok(ended?),
    };
    server.await?;
    drop(engine);
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; is another server there? choose one with --listen")
    })
}

/// Finds, loads and announces the model. The engine lives as long as what is returned.
async fn prepare(
    arguments: ServeArguments,
    fetching: &FetchArguments,
    pipeline: &Arc<Pipeline>,
    address: SocketAddr,
) -> Result<EngineThread> {
    let model = fetch::resolve(&arguments.model, fetching).await?;
    let loader = Arc::clone(pipeline);
    let loaded =
        tokio::task::spawn_blocking(move || load(&model, &arguments, loader.metrics())).await??;
    announce(&loaded, address);
    pipeline.serve(loaded.served);
    Ok(loaded.engine)
}

fn announce(loaded: &Loaded, address: SocketAddr) {
    let Loaded { served, memory, .. } = loaded;
    say(&format!(
        "{} is ready after {:.1} s: {}, context of {} tokens",
        served.name,
        loaded.seconds,
        loaded.description,
        count_text(u64::from(
            served.context.0.min(served.engine.sequence_tokens_max().0)
        )),
    ));
    let resident = sizing::resident_memory_bytes().map_or_else(String::new, |bytes| {
        format!("; {} resident now", bytes_text(bytes))
    });
    say(&format!(
        "memory: {} of weights, a KV cache of {} tokens ({} when full){resident}",
        bytes_text(memory.weight_bytes as u64),
        count_text(loaded.kv_tokens),
        bytes_text(memory.kv_bytes as u64),
    ));
    say(&format!(
        "try it:\n  curl -N http://{address}/v1/chat/completions -H 'Content-Type: application/json' \\\n    \
         -d '{{\"messages\": [{{\"role\": \"user\", \"content\": \"Say hello.\"}}], \"stream\": true}}'"
    ));
}
