//! Ctrl-C and SIGTERM: the first asks the server to finish, the second ends it.

use anyhow::Result;

/// Becomes ready at the first signal. A second one then ends the process at once.
pub(crate) struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// Takes over both signals.
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    /// Waits for the first signal.
    pub(crate) async fn wait(mut self) {
        self.next().await;
        tracing::info!("stopping: running requests may finish; a second signal ends them");
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopped by a second signal");
            std::process::exit(130);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a handler there is nothing to wait for: the system ends the process itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
