//! What is in the database.

use fluxo_store::Store;
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement};
use uuid::Uuid;

use crate::{cluster::TOPIC, topic::Position};

/// A row of `transactions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) account: String,
    pub(crate) account_seq: i64,
    /// What it adds to its account, in minor units.
    pub(crate) minor: i64,
    pub(crate) balance_after: i64,
    pub(crate) position: Position,
}

/// A row of `quarantine`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined {
    pub(crate) position: Position,
    pub(crate) reason: String,
}

/// The offset of the next record of each partition, where it is stored.
pub(crate) async fn offsets(store: &Store) -> anyhow::Result<Vec<i64>> {
    let stored = store.offsets(TOPIC).await?;
    Ok(stored.into_values().map(|stored| stored.next_offset).collect())
}

/// The rows after one of them, and which is the last.
pub(crate) async fn rows(store: &Store, after: i64) -> anyhow::Result<(Vec<Row>, i64)> {
    let sql = "SELECT seq, id, account, account_seq, CAST(kind AS CHAR) AS kind, amount, balance_after, `partition`, \
               `offset` FROM transactions WHERE seq > ? ORDER BY seq";
    let found = all(store, sql, vec![after.into()]).await?;
    let last = found.last().map_or(Ok(after), |row| row.try_get("", "seq"))?;
    Ok((found.iter().map(row).collect::<anyhow::Result<_>>()?, last))
}

fn row(row: &QueryResult) -> anyhow::Result<Row> {
    let amount: i64 = row.try_get("", "amount")?;
    let kind: String = row.try_get("", "kind")?;
    Ok(Row {
        id: row.try_get("", "id")?,
        account: row.try_get("", "account")?,
        account_seq: row.try_get("", "account_seq")?,
        minor: if kind == "saida" { -amount } else { amount },
        balance_after: row.try_get("", "balance_after")?,
        position: (row.try_get("", "partition")?, row.try_get("", "offset")?),
    })
}

/// How much of the quarantine was not yet forwarded.
pub(crate) async fn not_forwarded(store: &Store) -> anyhow::Result<i64> {
    let found = all(store, "SELECT COUNT(*) FROM quarantine WHERE forwarded_at IS NULL", vec![]).await?;
    Ok(found.first().map_or(Ok(0), |row| row.try_get_by_index(0))?)
}

/// All that is in quarantine.
pub(crate) async fn quarantine(store: &Store) -> anyhow::Result<Vec<Quarantined>> {
    let found = all(store, "SELECT `partition`, `offset`, reason FROM quarantine", vec![]).await?;
    let quarantined = |row: &QueryResult| {
        let position = (row.try_get("", "partition")?, row.try_get("", "offset")?);
        Ok(Quarantined { position, reason: row.try_get("", "reason")? })
    };
    found.iter().map(quarantined).collect()
}

async fn all(store: &Store, sql: &str, values: Vec<sea_orm::Value>) -> anyhow::Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, values);
    Ok(store.connection().query_all_raw(statement).await?)
}
