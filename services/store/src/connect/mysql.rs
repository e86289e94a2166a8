//! Connections to MySQL: what they are made with, and when one is given up.

use std::{sync::Arc, time::Duration};

use fluxo_core::settings::{DatabaseSettings, DatabaseTls};
use sea_orm::{
    ConnectOptions,
    sqlx::{
        self, ConnectOptions as _, Connection as _, Executor,
        mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode},
    },
};
use secrecy::ExposeSecret;

use super::ACQUIRE_TIMEOUT;
use crate::{Error, socket};

/// Of every connection. Gap locks of the default isolation would make writers of disjoint accounts wait for each other;
/// a value that does not fit must be an error, whatever the server's mode; a lock is not waited for longer than a client
/// waits for an answer. And a server that hears nothing of a client ends its transaction, and with it its locks, after
/// half a minute, not after eight hours: a client whose connection leads nowhere cannot end it.
const SESSION: &str = "SET SESSION transaction_isolation = 'READ-COMMITTED', innodb_lock_wait_timeout = 10, \
                       wait_timeout = 30, net_write_timeout = 30, \
                       sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";

/// How long a connection may be idle and still be used again: shorter than the server waits.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long a connection that comes back to the pool has to show that it leads to a server.
const SIGN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long nothing is done after a connection could not be made in place of another.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Says how the pool makes and keeps connections.
pub(super) fn configure(options: &mut ConnectOptions, settings: &Arc<DatabaseSettings>) -> Result<(), Error> {
    let made_with = made_with(settings)?;
    let port = made_with.get_port();
    options.map_sqlx_mysql_opts(move |_| made_with.clone());
    let settings = Arc::clone(settings);
    options.map_sqlx_mysql_pool_opts(move |pool| {
        let settings = Arc::clone(&settings);
        // Not by the pool's own timeout: its looks count as uses.
        pool.before_acquire(|_, meta| Box::pin(async move { Ok(meta.idle_for < IDLE_MAX) }))
            .after_connect(move |connection, _| Box::pin(begin(connection, port)))
            .after_release(move |connection, _| Box::pin(keep(connection, Arc::clone(&settings))))
    });
    Ok(())
}

fn made_with(settings: &DatabaseSettings) -> Result<MySqlConnectOptions, Error> {
    let url = settings.database_url.expose_secret();
    let options: MySqlConnectOptions =
        url.parse().map_err(|error| Error::Settings(format!("FLUXO_DATABASE_URL: {error}")))?;
    let password = settings
        .password()
        .map_err(|error| Error::Settings(format!("FLUXO_DATABASE_PASSWORD_FILE: {error}")))?;
    let mode = match settings.database_tls {
        DatabaseTls::Disabled => MySqlSslMode::Disabled,
        DatabaseTls::Preferred => MySqlSslMode::Preferred,
        DatabaseTls::Required => MySqlSslMode::Required,
        DatabaseTls::VerifyCa => MySqlSslMode::VerifyCa,
        DatabaseTls::VerifyIdentity => MySqlSslMode::VerifyIdentity,
    };
    let authority = &settings.database_ca_file;
    // A certificate of any public authority for any name would say nothing.
    if authority.is_none() && settings.database_tls == DatabaseTls::VerifyCa {
        let needed = "FLUXO_DATABASE_CA_FILE is needed to verify the server by verify-ca";
        return Err(Error::Settings(needed.into()));
    }
    let options =
        password.iter().fold(options, |options, password| options.password(password.expose_secret()));
    let options = authority.iter().fold(options, MySqlConnectOptions::ssl_ca);
    // The statements of the hot path: a handful of shapes, each in a few lengths.
    let options = options
        .ssl_mode(mode)
        .statement_cache_capacity(64)
        .charset("utf8mb4")
        .timezone(Some("+00:00".into()));
    Ok(options.disable_statement_logging())
}

/// Begins the session of a new connection.
async fn begin(connection: &mut MySqlConnection, port: u16) -> Result<(), sqlx::Error> {
    // It looks at every file of the process, of which an api has one a client.
    let _ = tokio::task::spawn_blocking(move || socket::set(port)).await;
    connection.execute(SESSION).await.map(drop)
}

/// Looks whether a connection that comes back to the pool still leads to a server, and makes another in its place if it
/// gives no sign.
///
/// The pool itself would wait for a sign for ever, and so would sqlx 0.9.0 for the end of a TLS session that it gives up:
/// the place of such a connection would never be free again, and with the last place the database would be away for this
/// process, long after it is back. So the old one is dropped, which asks nobody, and its place is kept meanwhile.
async fn keep(
    connection: &mut MySqlConnection,
    settings: Arc<DatabaseSettings>,
) -> Result<bool, sqlx::Error> {
    if let Ok(answer) = tokio::time::timeout(SIGN_TIMEOUT, connection.ping()).await {
        return answer.map(|()| true);
    }
    loop {
        match tokio::time::timeout(ACQUIRE_TIMEOUT, another(&settings)).await {
            Ok(Ok(new)) => {
                *connection = new;
                return Ok(true);
            }
            // Whoever needs a connection is told why there is none.
            Ok(Err(_)) | Err(_) => tokio::time::sleep(TRY_AGAIN).await,
        }
    }
}

async fn another(settings: &DatabaseSettings) -> Result<MySqlConnection, sqlx::Error> {
    let options = made_with(settings).map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let mut connection = options.connect().await?;
    begin(&mut connection, options.get_port()).await?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use fluxo_testkit::eventually;
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn a_connection_that_leads_nowhere_does_not_keep_its_place_in_the_pool() {
        let database = fluxo_testkit::database().await;
        let (link, url) = database.linked();
        let store = Store::open_pool(&DatabaseSettings::of_url(url.as_str()), 1).await.unwrap();
        let ask = async || store.pool.execute_unprepared("SELECT 1").await;
        ask().await.unwrap();
        link.forgets_connections();
        tokio::time::timeout(Duration::from_millis(100), ask()).await.unwrap_err();
        eventually("a new connection", 4 * SIGN_TIMEOUT, async || ask().await.ok()).await;
        store.close().await;
    }
}
