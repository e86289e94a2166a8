//! A database of its own for each test.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

use crate::Link;

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

    /// A link to its server, and the database as it is named through it.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn linked(&self) -> (Link, String) {
        let server = self.url.split(['@', '/']).nth(3).expect("it is mysql://user@host:port/name");
        let link = Link::to(server);
        let url = self.url.replace(server, &link.address().to_string());
        (link, url)
    }

    /// Makes a user who needs this password and TLS, and may do everything in the database; the database as this user
    /// names it.
    ///
    /// # Panics
    /// When the server does not make it.
    pub async fn secured(&self, password: &str) -> String {
        let (user, name) = (self.user(), &self.name);
        let sql = format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{password}' REQUIRE SSL; GRANT ALL ON {name}.* TO {user}@'%'"
        );
        run(&self.server, &sql).await.expect("the server makes users");
        let (_, rest) = self.url.rsplit_once('@').expect("it names a user");
        format!("mysql://{user}@{rest}")
    }

    /// PEM file of the authority that signed the server's certificate. The server is on this machine.
    ///
    /// # Panics
    /// When the server does not say.
    pub async fn authority(&self) -> PathBuf {
        let connection = connect(&self.server).await.expect("the server answers");
        let sql = Statement::from_string(DbBackend::MySql, "SELECT @@datadir, @@ssl_ca");
        let row = connection.query_one_raw(sql).await.expect("it tells its variables").expect("one row");
        let text = |at| row.try_get_by_index::<String>(at).expect("it is a text");
        let authority = PathBuf::from(text(0)).join(text(1));
        connection.close().await.expect("it closes");
        authority
    }

    /// As long as a user's name may be.
    fn user(&self) -> &str {
        &self.name[..32]
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let what = format!("the database {}", self.url);
        // A connection of the test may still hold a lock in it, and can only let go after this.
        let sql = format!(
            "SET lock_wait_timeout = 2; DROP DATABASE IF EXISTS {}; DROP USER IF EXISTS {}",
            self.name,
            self.user()
        );
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
