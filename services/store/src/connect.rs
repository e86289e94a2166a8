//! Opens the database: MySQL, or a SQLite file for the demo.

mod mysql;

use std::{sync::Arc, time::Duration};

use fluxo_core::settings::DatabaseSettings;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use secrecy::ExposeSecret;

use crate::Error;

/// How long a connection, or a free one of the pool, is waited for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the database is waited for by whoever has no bound of its own: a connection may be dead without saying so.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of connections is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The database. Cloned, it shares its connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: DatabaseConnection,
    /// Whose it must be; `None` when anybody's will do.
    pub(crate) owner: Option<String>,
    settings: Arc<DatabaseSettings>,
}

impl Store {
    /// Opens a pool of connections. None is made before it is needed: a database that is away is no error here.
    ///
    /// # Errors
    /// [`Error::Settings`] or [`Error::Misconfigured`] when the settings cannot be used.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, Error> {
        Self::open_pool(settings, settings.database_max_connections).await
    }

    /// Opens a pool of so many connections.
    pub(crate) async fn open_pool(settings: &DatabaseSettings, connections: u32) -> Result<Self, Error> {
        let url = settings.database_url.expose_secret();
        if !url.starts_with("mysql://") && !url.starts_with("sqlite:") {
            return Err(Error::Settings("FLUXO_DATABASE_URL must begin with mysql:// or sqlite:".into()));
        }
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(if url.starts_with("sqlite:") { 1 } else { connections })
            .min_connections(0)
            .connect_lazy(true)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .sqlx_logging(false);
        let settings = Arc::new(settings.clone());
        if url.starts_with("mysql://") {
            mysql::configure(&mut options, &settings)?;
        }
        options.map_sqlx_sqlite_opts(|options| {
            // A commit is on disk when it returns, as in MySQL's defaults.
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(ACQUIRE_TIMEOUT)
        });
        let pool = Database::connect(options).await?;
        Ok(Self { pool, owner: settings.database_owner.clone(), settings })
    }

    /// Waits until the database answers, and tells each failure that may pass to `waiting`.
    ///
    /// # Errors
    /// The first failure that will not pass by itself, such as a wrong password.
    pub async fn wait_until_reachable(&self, mut waiting: impl FnMut(&Error)) -> Result<(), Error> {
        loop {
            match self.ping().await {
                Err(error) if error.is_transient() => {
                    waiting(&error);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                ended => return ended,
            }
        }
    }

    /// Asks the database, and the schema in it, for an answer.
    ///
    /// # Errors
    /// When it does not answer, the schema is not there, or it is another's.
    pub async fn ping(&self) -> Result<(), Error> {
        let answer = self.pool.execute_unprepared("SELECT 1 FROM offsets LIMIT 1").await;
        self.renewing_password(answer.map_err(Error::from))?;
        self.refuse_others().await
    }

    /// Passes an answer on. If it is that the user is not let in, connections to come take the password that its file
    /// has now: it may have been changed while this process runs.
    pub(crate) fn renewing_password<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let (Err(Error::Denied(_)), DbBackend::MySql, Ok(Some(password))) =
            (&answer, self.backend(), self.settings.password())
        {
            let pool = self.pool.get_mysql_connection_pool();
            let options = pool.connect_options().as_ref().clone();
            pool.set_connect_options(options.password(password.expose_secret()));
        }
        answer
    }

    /// Ends its connections, without waiting long for a server that may be gone.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.pool.close_by_ref()).await;
    }

    /// Which database it is.
    pub fn backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    /// The connections, for whoever changes the schema.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.pool
    }
}

/// Waits for the database, but not for ever.
pub(crate) async fn in_time<T, E>(asked: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    let Ok(answer) = tokio::time::timeout(STATEMENT_TIMEOUT, asked).await else {
        let late = format!("no answer in {} s", STATEMENT_TIMEOUT.as_secs());
        return Err(Error::Unreachable(DbErr::Custom(late)));
    };
    Ok(answer?)
}
