//! Shutdown as a value: the first signal drains, the second, or the end of the grace, aborts.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells a service to end. Cloned and passed down; there is no global.
#[derive(Clone, Debug)]
pub struct Shutdown {
    draining: CancellationToken,
    aborted: CancellationToken,
}

impl Shutdown {
    /// One that nothing but [`Shutdown::drain`] and [`Shutdown::abort`] triggers.
    pub fn manual() -> Self {
        let aborted = CancellationToken::new();
        Self { draining: aborted.child_token(), aborted }
    }

    /// One that SIGTERM and SIGINT trigger: the first drains, the second aborts, and so does the end of `grace`.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals(grace: Duration) -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::manual();
        let on_signal = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!(grace_ms = grace.as_millis(), "shutting down: draining");
            on_signal.drain();
            tokio::select! {
                _ = terminate.recv() => tracing::warn!("second signal: aborting"),
                _ = interrupt.recv() => tracing::warn!("second signal: aborting"),
                () = tokio::time::sleep(grace) => tracing::warn!("the grace is over: aborting"),
            }
            on_signal.abort();
        });
        Ok(shutdown)
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends at once.
    pub fn abort(&self) {
        self.aborted.cancel();
    }

    /// Whether intake has ended.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Completes when intake must end.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Completes when everything must end.
    pub async fn aborted(&self) {
        self.aborted.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_aborts_has_also_stopped_intake() {
        let shutdown = Shutdown::manual();
        assert!(!shutdown.is_draining());
        shutdown.abort();
        shutdown.draining().await;
        shutdown.aborted().await;
    }

    #[tokio::test]
    async fn draining_does_not_abort() {
        let shutdown = Shutdown::manual();
        shutdown.drain();
        assert!(shutdown.is_draining());
        assert!(!shutdown.aborted.is_cancelled());
    }
}
