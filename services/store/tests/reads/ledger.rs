//! A database of a test, into which rows are written directly: these tests do not depend on how they are recorded.

use fluxo_core::{Timestamp, TransactionId, settings::DatabaseSettings};
use fluxo_migrations::{Migrator, MigratorTrait};
use fluxo_store::{Store, read::Recorded};
use fluxo_testkit::TestDatabase;
use sea_orm::{ConnectionTrait, Statement, Value};
use tempfile::TempDir;

/// A database with the schema. It has one connection, so that what a session counts is that of the test.
pub(crate) struct Ledger {
    pub(crate) store: Store,
    _mysql: Option<TestDatabase>,
    _sqlite: Option<TempDir>,
}

const COLUMNS: &str = "id, account, currency, account_seq, kind, amount, scale, balance_after, description, metadata, \
                       occurred_at, accepted_at, recorded_at, client, content_hash, reverses, topic_id, `partition`, \
                       `offset`";
const ROWS_A_STATEMENT: usize = 1_000;

impl Ledger {
    pub(crate) async fn mysql() -> Self {
        let database = fluxo_testkit::database().await;
        let store = open(&database.url).await;
        Self { store, _mysql: Some(database), _sqlite: None }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&format!("sqlite://{}", folder.path().join("fluxo.db").display())).await;
        Self { store, _mysql: None, _sqlite: Some(folder) }
    }

    pub(crate) async fn insert(&self, rows: &[Recorded]) {
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            let marks = vec!["(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'topic',0,0)"; rows.len()].join(",");
            let sql = format!("INSERT INTO transactions ({COLUMNS}) VALUES {marks}");
            self.run(&sql, rows.iter().flat_map(values).collect()).await;
        }
    }

    pub(crate) async fn refuse(&self, id: TransactionId, offset: i64, reason: &str, at: Timestamp) {
        let sql = "INSERT INTO quarantine (topic_id, `partition`, `offset`, topic, id, reason, headers, recorded_at) \
                   VALUES ('topic', 0, ?, 'name', ?, ?, '', ?)";
        let values = vec![offset.into(), bytes(id), reason.into(), at.to_utc().into()];
        self.run(sql, values).await;
    }

    pub(crate) async fn run(&self, sql: &str, values: Vec<Value>) {
        let statement = Statement::from_sql_and_values(self.store.backend(), sql, values);
        self.store.connection().execute_raw(statement).await.unwrap();
    }

    /// The cells of a statement as text.
    pub(crate) async fn query(&self, sql: &str, columns: usize) -> Vec<Vec<String>> {
        let statement = Statement::from_string(self.store.backend(), sql);
        let rows = self.store.connection().query_all_raw(statement).await.unwrap();
        let cells =
            |row: &sea_orm::QueryResult| (0..columns).map(|at| row.try_get_by_index(at).unwrap()).collect();
        rows.iter().map(cells).collect()
    }
}

async fn open(url: &str) -> Store {
    let settings = DatabaseSettings { database_max_connections: 1, ..DatabaseSettings::of_url(url) };
    let store = Store::open(&settings).await.unwrap();
    Migrator::up(store.connection(), None).await.unwrap();
    store
}

fn values(row: &Recorded) -> Vec<Value> {
    let (accepted, transaction) = (&row.accepted, &row.accepted.transaction);
    let pairs = transaction.metadata.iter().map(|(key, value)| (key.to_owned(), value.into()));
    let metadata = serde_json::Value::Object(pairs.collect()).to_string();
    vec![
        bytes(transaction.id),
        transaction.account.as_str().into(),
        transaction.money.currency().code().into(),
        row.account_seq.into(),
        transaction.kind.as_str().into(),
        transaction.money.minor().into(),
        transaction.money.currency().scale().into(),
        row.balance_after.minor.into(),
        transaction.description.as_ref().map(|text| text.as_str().to_owned()).into(),
        (!transaction.metadata.is_empty()).then_some(metadata).into(),
        transaction.occurred_at.to_utc().into(),
        accepted.accepted_at.to_utc().into(),
        row.recorded_at.to_utc().into(),
        accepted.client.as_str().into(),
        accepted.content_hash.as_bytes().as_slice().into(),
        accepted.reverses.map(|id| id.as_uuid().as_bytes().to_vec()).into(),
    ]
}

fn bytes(id: TransactionId) -> Value {
    id.as_uuid().as_bytes().as_slice().into()
}
