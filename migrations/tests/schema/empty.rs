//! An empty database for each test.

use std::time::Duration;

use fluxo_core::{Currency, settings::DatabaseSettings};
use fluxo_migrations::{State, status, up};
use fluxo_store::Store;
use fluxo_testkit::TestDatabase;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tempfile::TempDir;

/// How long a lock is waited for.
pub(crate) const WAIT: Duration = Duration::from_mins(1);
pub(crate) const ALL: u32 = u32::MAX;

/// An empty database.
pub(crate) struct Empty {
    pub(crate) store: Store,
    pub(crate) url: String,
    _mysql: Option<TestDatabase>,
    _sqlite: Option<TempDir>,
}

impl Empty {
    pub(crate) async fn mysql() -> Self {
        let database = fluxo_testkit::database().await;
        let url = database.url.clone();
        Self { store: open(&url).await, url, _mysql: Some(database), _sqlite: None }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("fluxo.db").display());
        Self { store: open(&url).await, url, _mysql: None, _sqlite: Some(folder) }
    }

    pub(crate) async fn up(&self) {
        up(self.store.connection(), WAIT).await.unwrap();
    }

    pub(crate) async fn states(&self) -> Vec<State> {
        status(self.store.connection()).await.unwrap().into_iter().map(|(_, state)| state).collect()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.store.connection().execute_unprepared(sql).await.unwrap();
    }

    /// The cells of the first `columns` columns as text.
    pub(crate) async fn query(&self, sql: &str, columns: usize) -> Vec<Vec<String>> {
        let statement = Statement::from_string(self.store.backend(), sql);
        let rows = self.store.connection().query_all_raw(statement).await.unwrap();
        let cells =
            |row: &sea_orm::QueryResult| (0..columns).map(|at| row.try_get_by_index(at).unwrap()).collect();
        rows.iter().map(cells).collect()
    }

    /// Everything that is in the database but the list of applied migrations.
    pub(crate) async fn things(&self) -> Vec<String> {
        let mysql = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
                     AND table_name <> 'seaql_migrations' ORDER BY 1";
        let sqlite = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' \
                      AND name <> 'seaql_migrations' ORDER BY 1";
        let sql = if self.store.backend() == DbBackend::MySql { mysql } else { sqlite };
        self.query(sql, 1).await.concat()
    }

    pub(crate) fn is_mysql(&self) -> bool {
        self.store.backend() == DbBackend::MySql
    }

    /// Inserts a transaction; what it does not name is of no matter.
    pub(crate) async fn insert(&self, account: &str, amount: i64, balance: i64, currency: Currency) {
        let (code, scale) = (currency.code(), currency.scale());
        let id = uuid_hex(&format!("{account}{code}{amount}"));
        self.run(&format!(
            "INSERT INTO transactions (id, account, currency, account_seq, kind, amount, scale, balance_after, \
             occurred_at, accepted_at, recorded_at, client, content_hash, topic_id, `partition`, `offset`) \
             VALUES (x'{id}', '{account}', '{code}', 1, 'entrada', {amount}, {scale}, {balance}, \
             '2026-11-21 12:00:00', '2026-11-21 12:00:00', '2026-11-21 12:00:00', 'erp', x'{id}{id}', 't', 0, 0)"
        ))
        .await;
    }
}

pub(crate) async fn open(url: &str) -> Store {
    Store::open(&DatabaseSettings::of_url(url)).await.unwrap()
}

/// 16 bytes that differ between short texts.
fn uuid_hex(text: &str) -> String {
    let number = text.bytes().rev().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(byte));
    format!("{number:032x}")
}
