//! The database as the api sees it: there or away, and never waited for longer than a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fluxo_store::{Store, error::Error as StoreError};

use crate::metrics::Metrics;

/// How often the database is asked whether it is there: while it is, and while it is away.
const CHECK_UP: Duration = Duration::from_secs(5);
const CHECK_AWAY: Duration = Duration::from_millis(500);

/// The database, read only.
#[derive(Debug)]
pub(crate) struct Database {
    store: Store,
    timeout: Duration,
    is_up: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Why a read has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The database is away, or takes too long.
    #[error("the database is away")]
    Away,
    /// The database answered with an error that does not pass by itself.
    #[error("the read failed")]
    Failed,
}

impl Database {
    pub(crate) fn new(store: Store, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self { store, timeout, is_up: AtomicBool::new(false), metrics }
    }

    /// What to read from; hand the read to [`Database::read`].
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether it answered when it was asked last.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Waits for a read, within the bound.
    pub(crate) async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Error> {
        if !self.is_up() {
            return Err(Error::Away);
        }
        match tokio::time::timeout(self.timeout, read).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.metrics.database_error(Some(&error));
                if error.is_transient() {
                    self.set_up(false);
                    return Err(Error::Away);
                }
                tracing::error!(error = chain(&error), "a read of the database failed");
                Err(Error::Failed)
            }
            Err(_) => {
                self.metrics.database_error(None);
                Err(Error::Away)
            }
        }
    }

    /// Keeps asking whether the database is there. Ends only when it says, before it was there once, that it will
    /// not serve these settings: a wrong password, an unknown database, a schema that is missing.
    pub(crate) async fn supervise(&self) -> StoreError {
        let mut was_there = false;
        let mut told = None;
        loop {
            let answer = tokio::time::timeout(self.timeout, self.store.ping()).await;
            self.set_up(matches!(answer, Ok(Ok(()))));
            let problem = match answer {
                Ok(Ok(())) => {
                    was_there = true;
                    None
                }
                Ok(Err(error)) if !was_there && !error.is_transient() => return error,
                Ok(Err(error)) => Some(chain(&error)),
                Err(_) => Some("it takes too long to answer".to_owned()),
            };
            if problem != told {
                if let Some(error) = &problem {
                    tracing::warn!(error, "the database is away: reads are answered 503");
                } else {
                    tracing::info!("the database is back");
                }
                told = problem;
            }
            tokio::time::sleep(if self.is_up() { CHECK_UP } else { CHECK_AWAY }).await;
        }
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Relaxed);
        self.metrics.database_up(is_up);
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
