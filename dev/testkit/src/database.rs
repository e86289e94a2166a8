//! A database of its own for each test.

use std::time::Duration;

use anyhow::Context;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use uuid::Uuid;

/// An empty database, which is dropped with this value unless the test panics.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where it is, as `mysql://user@host:port/name`.
    pub url: String,
    name: String,
    server: String,
}

/// Makes an empty database on the server of `FLUXO_TEST_MYSQL`. It has no schema: who needs one runs the migrations.
///
/// # Panics
/// When the variable is missing or the server does not answer.
#[allow(clippy::panic, reason = "without its server a test has failed")]
pub async fn database() -> TestDatabase {
    let server = crate::variable("FLUXO_TEST_MYSQL");
    let name = format!("fluxo_test_{}", Uuid::new_v4().simple());
    let (authority, _) = server.rsplit_once('/').expect("FLUXO_TEST_MYSQL is mysql://user@host:port/name");
    let url = format!("{authority}/{name}");
    let created = run(&server, &format!("CREATE DATABASE {name}")).await;
    created.unwrap_or_else(|error| panic!("cannot make a database on FLUXO_TEST_MYSQL: {error:#}"));
    TestDatabase { url, name, server }
}

impl TestDatabase {
    /// Runs a statement in it, as whoever owns the server may.
    ///
    /// # Panics
    /// When it fails.
    #[allow(clippy::panic, reason = "a test that cannot go on has failed")]
    pub async fn run(&self, sql: &str) {
        run(&self.url, sql).await.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let what = format!("the database {}", self.url);
        // A connection of the test may still hold a lock in it, and can only let go after this.
        let sql = format!("SET lock_wait_timeout = 2; DROP DATABASE IF EXISTS {}", self.name);
        crate::clean_up(&what, run(&self.server, &sql));
    }
}

async fn run(server: &str, sql: &str) -> anyhow::Result<()> {
    let connection = connect(server).await.context("cannot connect")?;
    connection.execute_unprepared(sql).await.with_context(|| format!("failed: {sql}"))?;
    connection.close().await?;
    Ok(())
}

async fn connect(server: &str) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).acquire_timeout(Duration::from_secs(10)).sqlx_logging(false);
    Ok(Database::connect(options).await?)
}
