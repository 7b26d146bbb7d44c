//! Listens, and lets go in good order.
//!
//! Shutting down: new requests are refused and `/ready` says so, while connections are still
//! accepted, so that a load balancer can see it; running requests finish, up to a deadline; then
//! what is left is dropped, which cancels it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use crate::limits::HttpLimits;
use crate::routes::{HttpState, router};
use crate::stall::StallGuard;
use crate::tls::Tls;

/// Time for connections to send their last bytes after the last request is done.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait after the system refused to give a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is ready, and then until running requests are done or out of time.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: impl Future<Output = ()>) {
    let mut server = Server::new(state.clone());
    tokio::select! {
        () = server.accept_all(&listener) => {}
        () = shutdown => {}
    }
    state.pipeline.begin_drain();
    let deadline = Duration::from_secs(state.limits.drain_timeout_s);
    tracing::info!(open = state.pipeline.answers_open(), ?deadline, "draining");
    tokio::select! {
        () = server.accept_all(&listener) => {}
        () = state.pipeline.idle() => {}
        () = tokio::time::sleep(deadline) => {
            tracing::warn!(open = state.pipeline.answers_open(), "out of time: dropping the rest");
        }
    }
    drop(listener);
    server.close().await;
}

struct Server {
    router: Router,
    limits: HttpLimits,
    tls: Option<Tls>,
    connections: JoinSet<()>,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
}

impl Server {
    fn new(state: HttpState) -> Self {
        let limits = state.limits;
        Self {
            tls: state.tls.clone(),
            router: router(state),
            limits,
            connections: JoinSet::new(),
            places: Arc::new(Semaphore::new(limits.connections_max.max(1))),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Never ends by itself.
    async fn accept_all(&mut self, listener: &TcpListener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => self.take(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while self.connections.try_join_next().is_some() {}
        }
    }

    fn take(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Tokens are small and each is waited for; the system must not gather them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection kept Nagle's algorithm");
        }
        let (tls, router) = (self.tls.clone(), self.router.clone());
        let (limits, watcher) = (self.limits, self.graceful.watcher());
        self.connections.spawn(async move {
            match tls {
                None => run_connection(stream, router, limits, watcher).await,
                Some(tls) => {
                    if let Some(stream) = handshake(stream, &tls, limits).await {
                        run_connection(stream, router, limits, watcher).await;
                    }
                }
            }
            drop(place);
        });
    }

    /// Lets connections end between two requests, and then ends them.
    async fn close(self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.graceful.shutdown())
            .await
            .is_err()
        {
            tracing::debug!(
                open = self.connections.len(),
                "closing connections by force"
            );
        }
        drop(self.connections);
    }
}

/// The connection, once both sides have agreed on its keys, in the time that a request's head has.
async fn handshake(
    stream: TcpStream,
    tls: &Tls,
    limits: HttpLimits,
) -> Option<TlsStream<TcpStream>> {
    let patience = Duration::from_secs(limits.head_timeout_s);
    match tokio::time::timeout(patience, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client and the server found no way to speak in secret");
            None
        }
        Err(_) => {
            tracing::debug!(
                ?patience,
                "a client did not say in time how to speak in secret"
            );
            None
        }
    }
}

async fn run_connection<S>(stream: S, router: Router, limits: HttpLimits, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = StallGuard::new(stream, Duration::from_secs(limits.write_timeout_s));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.head_timeout_s))
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Clients that leave or talk no HTTP end their own connection and nothing else.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
