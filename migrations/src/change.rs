//! Runs the migrations, one process at a time.

use std::{collections::BTreeSet, time::Duration};

use fluxo_store::{Error, owner};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use crate::Migrator;

/// The lock of MySQL that whoever changes the schema holds. Such locks belong to the server, not to a database, so the
/// database is in its name, hashed because a name of a lock has at most 64 characters.
const LOCK: &str = "CONCAT('fluxo.migrations.', LEFT(SHA2(DATABASE(), 256), 40))";

/// Whether a migration is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Of this build, and not in the database.
    Pending,
    /// Of this build, and in the database.
    Applied,
    /// In the database, and not of this build: a newer one put it there.
    Newer,
}

/// The migrations of this build and those of the database, by name. It changes nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn status<C: ConnectionTrait>(connection: &C) -> Result<Vec<(String, State)>, Error> {
    let ours: Vec<String> =
        Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let theirs = applied(connection).await?;
    let newer = theirs.iter().filter(|name| !ours.contains(name)).map(|name| (name.clone(), State::Newer));
    let of_ours = ours
        .iter()
        .map(|name| (name.clone(), if theirs.contains(name) { State::Applied } else { State::Pending }));
    Ok(of_ours.chain(newer).collect())
}

/// Brings the schema to that of this build. When it is there already it does nothing, and also when a newer build has
/// been there: a schema serves the release before its own (see `README.md`), so a release can be taken back.
///
/// # Errors
/// [`Error::Unable`] when another process still holds the lock after `wait`, or what a statement failed with. What was
/// applied before that stays, and the next call goes on from there.
pub async fn up(connection: &DatabaseConnection, wait: Duration) -> Result<(), Error> {
    locked(connection, wait, migrate).await
}

/// As [`up`], for a pipeline: the database becomes its own if it is nobody's, and is left alone if it is another's.
///
/// # Errors
/// As [`up`]; also [`Error::Claimed`] when it is another's.
pub async fn up_for(owner: &str, connection: &DatabaseConnection, wait: Duration) -> Result<(), Error> {
    locked(connection, wait, async |transaction| {
        if has_table(transaction, "owner").await? {
            owner::refuse_others(transaction, owner).await?;
        }
        migrate(transaction).await?;
        owner::claim(transaction, owner).await
    })
    .await
}

async fn migrate(transaction: &DatabaseTransaction) -> Result<(), Error> {
    let status = status(transaction).await?;
    let has = |state| status.iter().any(|(_, other)| *other == state);
    match (has(State::Newer), has(State::Pending)) {
        (true, true) => Err(Error::from(DbErr::Migration(
            "the schema has migrations that this build does not know, and lacks some that it needs".into(),
        ))),
        (true, false) => {
            tracing::info!("the schema is of a newer build, and serves this one");
            Ok(())
        }
        (false, _) => Ok(Migrator::up(transaction, None).await?),
    }
}

/// Takes back the last migrations, so many of them, with everything that is in their tables.
///
/// # Errors
/// As [`up`]; also when a newer build has been there.
pub async fn down(connection: &DatabaseConnection, steps: u32, wait: Duration) -> Result<(), Error> {
    locked(connection, wait, async |transaction| Ok(Migrator::down(transaction, Some(steps)).await?)).await
}

/// Runs `change` while no other process changes this schema.
///
/// It runs in a transaction because that is one connection, which is what the lock of MySQL belongs to. MySQL commits at
/// each change of a table all the same; SQLite makes one step of everything.
async fn locked(
    connection: &DatabaseConnection,
    wait: Duration,
    change: impl AsyncFnOnce(&DatabaseTransaction) -> Result<(), Error>,
) -> Result<(), Error> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    let mysql = connection.get_database_backend() == DbBackend::MySql;
    if mysql {
        lock(&transaction, wait).await?;
    }
    let changed = change(&transaction).await;
    if mysql {
        // When this fails the connection is broken, and the lock is gone with it.
        let _ = transaction.execute_unprepared(&format!("DO RELEASE_LOCK({LOCK})")).await;
    }
    match changed {
        Ok(()) => Ok(transaction.commit().await?),
        Err(error) => {
            // The first error is the one to tell.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn lock(transaction: &DatabaseTransaction, wait: Duration) -> Result<(), Error> {
    let sql = format!("SELECT GET_LOCK({LOCK}, {}) = 1", wait.as_secs());
    let row = query(transaction, sql).await?.pop();
    let held = row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten();
    if held == Some(1) {
        Ok(())
    } else {
        Err(Error::Unable(DbErr::Migration("another process is changing the schema".into())))
    }
}

/// The names in the table of applied migrations; none when there is no such table.
async fn applied<C: ConnectionTrait>(connection: &C) -> Result<BTreeSet<String>, Error> {
    if !has_table(connection, "seaql_migrations").await? {
        return Ok(BTreeSet::new());
    }
    let rows = query(connection, "SELECT version FROM seaql_migrations".into()).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect::<Result<_, _>>()?)
}

async fn has_table<C: ConnectionTrait>(connection: &C, name: &str) -> Result<bool, Error> {
    let sql = if connection.get_database_backend() == DbBackend::MySql {
        format!(
            "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{name}'"
        )
    } else {
        format!("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '{name}'")
    };
    Ok(!query(connection, sql).await?.is_empty())
}

async fn query<C: ConnectionTrait>(connection: &C, sql: String) -> Result<Vec<QueryResult>, DbErr> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await
}
