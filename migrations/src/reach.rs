//! Waits for a database that is away, and says why it is.

use std::{
    error, io, iter,
    str::FromStr,
    time::{Duration, Instant},
};

use fluxo_core::settings::DatabaseSettings;
use fluxo_store::{Error, Store};
use sea_orm::{ConnectionTrait, sqlx::mysql::MySqlConnectOptions};
use secrecy::ExposeSecret;
use tokio::{net::TcpStream, time};

/// How long it waits between attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a bare connection may take, which is tried only to learn why there is no other.
const BARE_TIMEOUT: Duration = Duration::from_secs(3);

/// Waits until the database answers, for `wait` at most. Each reason why it does not is logged once.
///
/// # Errors
/// The last failure, when the wait is over; at once what will not pass by itself, such as a wrong password.
pub(crate) async fn reach(store: &Store, settings: &DatabaseSettings, wait: Duration) -> anyhow::Result<()> {
    let (began, mut told) = (Instant::now(), String::new());
    loop {
        let answer = store.connection().execute_unprepared("SELECT 1").await.map_err(Error::from);
        let Err(error) = answer else { return Ok(()) };
        if !error.is_transient() {
            return Err(error.into());
        }
        let bare = bare(settings).await;
        if began.elapsed() >= wait {
            let error = anyhow::Error::new(error);
            return Err(bare.into_iter().fold(error, anyhow::Error::context));
        }
        let why = bare.unwrap_or_else(|| causes(&error));
        if why != told {
            tracing::warn!(error = why, wait_s = wait.as_secs(), "waiting for the database");
            told = why;
        }
        time::sleep(PAUSE).await;
    }
}

/// Why not even a connection without a login can be made. A pool that waited in vain does not say it.
async fn bare(settings: &DatabaseSettings) -> Option<String> {
    let options = MySqlConnectOptions::from_str(settings.database_url.expose_secret()).ok()?;
    let (host, port) = (options.get_host(), options.get_port());
    let connected = time::timeout(BARE_TIMEOUT, TcpStream::connect((host, port))).await;
    let error = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).err()?;
    Some(format!("no connection to {host}:{port}: {error}"))
}

/// An error with its causes. Those of the database repeat each other, so what was said is left out.
pub(crate) fn causes(error: &(dyn error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in iter::successors(Some(error), |error| error.source()) {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbErr, RuntimeErr, SqlxError};

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || RuntimeErr::SqlxError(SqlxError::PoolTimedOut.into());
        let text = causes(&Error::Unreachable(DbErr::Conn(cause())));
        assert_eq!(text.matches("timed out").count(), 1, "{text}");
    }

    #[tokio::test]
    async fn a_port_where_nothing_listens_is_told_with_its_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let settings = DatabaseSettings::of_url(format!("mysql://root@{address}/fluxo"));
        let store = Store::open(&settings).await.unwrap();
        let error = reach(&store, &settings, Duration::ZERO).await.unwrap_err();
        let text = causes(error.as_ref());
        assert!(text.starts_with(&format!("no connection to {address}: Connection refused")), "{text}");
    }
}
