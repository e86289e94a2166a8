//! The statements of the hot path.
//!
//! They are prebuilt text with placeholders, sent through SeaORM's connection: building an expression for every cell
//! of every row would cost more than the server's work. Both databases read the same text.

use std::{fmt::Write as _, future::Future, sync::LazyLock};

use fluxo_core::{Account, ContentHash, Currency, Metadata, Timestamp, TransactionId};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryResult, Statement, TransactionTrait,
    Value,
    sea_query::{Expr, OnConflict},
};

use super::{AccountKey, Answer, Batch, Entry, Plan, Row, Tail, Topic};
use crate::{Error, Store, entity::quarantine, headers};

/// The columns of a row that is inserted, in the order of [`values`].
const COLUMNS: &str = "id, account, currency, account_seq, kind, amount, scale, balance_after, description, metadata, \
                       occurred_at, accepted_at, recorded_at, client, content_hash, reverses, topic_id, \
                       `partition`, `offset`";
const COLUMN_COUNT: usize = 19;

/// The most rows of one statement. More make none faster and hold more memory; and 19 placeholders each must stay
/// below the 32,766 that SQLite takes.
const ROWS_MAX: usize = 256;
/// The most keys of one statement that reads.
pub(crate) const KEYS_MAX: usize = 128;

/// How long a writer waits to be alone. It is a courtesy: after it, the keys of the table decide as always.
const ALONE_TIMEOUT_S: u32 = 10;

/// Writes a plan and the moves of its batch in one transaction.
pub(super) async fn write(
    store: &Store,
    batch: &Batch,
    plan: &Plan<'_>,
    confirmed: impl Future<Output = bool>,
) -> Result<Answer, Error> {
    let transaction = store.pool.begin().await?;
    let refused = match inside(&transaction, batch, plan, confirmed).await {
        Ok(None) => {
            transaction.commit().await?;
            return Ok(Answer::Written);
        }
        Ok(Some(refused)) => refused,
        Err(Error::Duplicate(_)) => Answer::Duplicate,
        Err(error) => return Err(error),
    };
    transaction.rollback().await?;
    Ok(refused)
}

/// All of the transaction but its end: `None` when it may be committed.
async fn inside(
    transaction: &DatabaseTransaction,
    batch: &Batch,
    plan: &Plan<'_>,
    confirmed: impl Future<Output = bool>,
) -> Result<Option<Answer>, Error> {
    // The offsets come first: whoever has lost a partition waits for nothing and writes nothing.
    if !move_offsets(transaction, batch).await? {
        return Ok(Some(Answer::Fenced));
    }
    for rows in chunks(&plan.rows) {
        insert(transaction, &batch.topic, rows).await?;
    }
    for (entry, reason) in &plan.refused {
        quarantine(transaction, &batch.topic, entry, *reason).await?;
    }
    Ok((!confirmed.await).then_some(Answer::Unconfirmed))
}

/// Moves every partition of the batch, or says that it could not: compare-and-set on whole primary keys.
async fn move_offsets(transaction: &DatabaseTransaction, batch: &Batch) -> Result<bool, Error> {
    let moves = &batch.moves;
    // A range that is read again moves nothing: the keys alone decide.
    if moves.is_empty() {
        return Ok(true);
    }
    let cases = "WHEN ? THEN ? ".repeat(moves.len());
    let sql = format!(
        "UPDATE offsets SET next_offset = CASE `partition` {cases}END \
         WHERE topic = ? AND `partition` IN ({}) AND topic_id = ? AND next_offset = CASE `partition` {cases}END",
        marks(moves.len()),
    );
    let mut values: Vec<Value> = Vec::with_capacity(5 * moves.len() + 2);
    values.extend(moves.iter().flat_map(|part| [part.partition.into(), part.to.into()]));
    values.push(batch.topic.name.as_str().into());
    values.extend(moves.iter().map(|part| Value::from(part.partition)));
    values.push(batch.topic.id.as_str().into());
    values.extend(moves.iter().flat_map(|part| [part.partition.into(), part.from.into()]));
    let updated = transaction.execute_raw(statement(transaction, sql, values)).await?;
    Ok(updated.rows_affected() == moves.len() as u64)
}

/// Inserts rows by a plain INSERT: a taken number or id must be an error, never hidden.
async fn insert(transaction: &DatabaseTransaction, topic: &Topic, rows: &[Row<'_>]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(rows.len() * COLUMN_COUNT);
    for row in rows {
        self::values(topic, row, &mut values);
    }
    transaction.execute_raw(statement(transaction, insert_of(rows.len()), values)).await?;
    Ok(())
}

fn values(topic: &Topic, row: &Row<'_>, values: &mut Vec<Value>) {
    let (accepted, tail, position) = (row.accepted, row.tail, row.entry.position);
    let transaction = &accepted.transaction;
    let recorded_at = tail.recorded_at.unwrap_or(accepted.accepted_at);
    values.extend([
        uuid(transaction.id),
        transaction.account.as_str().into(),
        transaction.money.currency().code().into(),
        tail.account_seq.into(),
        transaction.kind.as_str().into(),
        transaction.money.minor().into(),
        transaction.money.currency().scale().into(),
        tail.balance.into(),
        transaction.description.as_ref().map(fluxo_core::Description::as_str).into(),
        json(&transaction.metadata).into(),
        transaction.occurred_at.to_utc().into(),
        accepted.accepted_at.to_utc().into(),
        recorded_at.to_utc().into(),
        accepted.client.as_str().into(),
        accepted.content_hash.as_bytes().as_slice().into(),
        accepted.reverses.map_or(Value::Bytes(None), uuid),
        topic.id.as_str().into(),
        position.partition.into(),
        position.offset.into(),
    ]);
}

/// Puts a record into quarantine. It may be there already, when a range of the topic is read again; it has one key
/// only, so that leaving it as it is cannot hide anything.
async fn quarantine(
    transaction: &DatabaseTransaction,
    topic: &Topic,
    entry: &Entry,
    reason: fluxo_core::quarantine::Reason,
) -> Result<(), Error> {
    let raw = &entry.raw;
    let id = match &entry.content {
        super::Content::Accepted(accepted) => Some(accepted.transaction.id.as_uuid().as_bytes().to_vec()),
        super::Content::Refused(_) => None,
    };
    let row = quarantine::ActiveModel {
        topic_id: Set(topic.id.as_str().into()),
        partition: Set(entry.position.partition),
        offset: Set(entry.position.offset),
        topic: Set(topic.name.clone()),
        id: Set(id),
        reason: Set(reason.as_str().into()),
        key: Set(raw.key.clone()),
        value: Set(raw.value.clone()),
        headers: Set(headers::encode(&raw.headers)),
        record_timestamp: Set(raw.timestamp_ms),
        recorded_at: Set(Timestamp::now().to_utc()),
        forwarded_at: Set(None),
    };
    let keys = [quarantine::Column::TopicId, quarantine::Column::Partition, quarantine::Column::Offset];
    // As it is: of its columns, the listener may change this one only.
    let forwarded_at = quarantine::Column::ForwardedAt;
    let keep = OnConflict::columns(keys).value(forwarded_at, Expr::col(forwarded_at)).to_owned();
    quarantine::Entity::insert(row).on_conflict(keep).exec_without_returning(transaction).await?;
    Ok(())
}

/// Reads the last rows of accounts, each by one step down the index.
pub(super) async fn read_tails(store: &Store, keys: &[AccountKey]) -> Result<Vec<(AccountKey, Tail)>, Error> {
    const ONE: &str = "SELECT * FROM (SELECT account, currency, account_seq, balance_after, recorded_at \
                       FROM transactions WHERE account = ? AND currency = ? ORDER BY account_seq DESC LIMIT 1) AS t";
    let mut tails = Vec::with_capacity(keys.len());
    for keys in keys.chunks(KEYS_MAX) {
        let sql = vec![ONE; keys.len()].join(" UNION ALL ");
        let values = keys.iter().flat_map(|key| [key.account.as_str().into(), key.currency.code().into()]);
        for row in store.pool.query_all_raw(statement(&store.pool, sql, values.collect())).await? {
            tails.push(tail(&row)?);
        }
    }
    Ok(tails)
}

fn tail(row: &QueryResult) -> Result<(AccountKey, Tail), Error> {
    let foreign = |column| Error::Foreign { table: "transactions", column };
    let (account, currency): (String, String) = (row.try_get("", "account")?, row.try_get("", "currency")?);
    let key = AccountKey {
        account: Account::parse(&account).map_err(|_| foreign("account"))?,
        currency: Currency::parse(&currency).map_err(|_| foreign("currency"))?,
    };
    let recorded_at: time::PrimitiveDateTime = row.try_get("", "recorded_at")?;
    let tail = Tail {
        account_seq: row.try_get("", "account_seq")?,
        balance: row.try_get("", "balance_after")?,
        recorded_at: Some(recorded_at.into()),
    };
    Ok((key, tail))
}

/// Reads the content hashes of the rows that have one of the ids.
pub(super) async fn read_contents(
    store: &Store,
    ids: &[TransactionId],
) -> Result<Vec<(TransactionId, ContentHash)>, Error> {
    let mut contents = Vec::new();
    for ids in ids.chunks(KEYS_MAX) {
        let sql = format!("SELECT id, content_hash FROM transactions WHERE id IN ({})", marks(ids.len()));
        let values = ids.iter().copied().map(uuid).collect();
        for row in store.pool.query_all_raw(statement(&store.pool, sql, values)).await? {
            let (id, hash): (Vec<u8>, Vec<u8>) = (row.try_get("", "id")?, row.try_get("", "content_hash")?);
            let foreign = |column| Error::Foreign { table: "transactions", column };
            let id = uuid::Uuid::from_slice(&id).map_err(|_| foreign("id"))?;
            let hash: [u8; 32] = hash.try_into().map_err(|_| foreign("content_hash"))?;
            contents.push((id.into(), hash.into()));
        }
    }
    Ok(contents)
}

/// Waits until no other writer of this database holds the lock. SQLite has one writer at a time anyway.
pub(super) async fn lock(store: &Store) -> Result<(), Error> {
    let name = lock_name();
    alone(store, &format!("SELECT GET_LOCK({name}, {ALONE_TIMEOUT_S})")).await
}

/// Gives the lock back.
pub(super) async fn unlock(store: &Store) -> Result<(), Error> {
    alone(store, &format!("SELECT RELEASE_LOCK({})", lock_name())).await
}

async fn alone(store: &Store, sql: &str) -> Result<(), Error> {
    if store.backend() == DbBackend::MySql {
        store.pool.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await?;
    }
    Ok(())
}

/// Locks are the server's, not the database's, and their names have at most 64 characters.
const fn lock_name() -> &'static str {
    "CONCAT('fluxo.', LEFT(SHA2(DATABASE(), 256), 40))"
}

fn statement(connection: &impl ConnectionTrait, sql: impl Into<String>, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

/// Cuts rows into lengths of few kinds, since each is a prepared statement: any up to 16, then powers of two.
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = match rest.len() {
            0 => return None,
            few @ 1..=16 => few,
            many => (1_usize << many.ilog2()).min(ROWS_MAX),
        };
        let (chunk, after) = rest.split_at(length);
        rest = after;
        Some(chunk)
    })
}

/// The text of an INSERT of so many rows.
fn insert_of(rows: usize) -> String {
    static ROW: LazyLock<String> = LazyLock::new(|| format!("({}),", marks(COLUMN_COUNT)));
    let mut sql = String::with_capacity(COLUMNS.len() + rows * ROW.len() + 64);
    let _ = write!(sql, "INSERT INTO transactions ({COLUMNS}) VALUES ");
    for _ in 0..rows {
        sql.push_str(&ROW);
    }
    sql.pop();
    sql
}

/// `?,?,?`
fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

fn uuid(id: TransactionId) -> Value {
    id.as_uuid().as_bytes().as_slice().into()
}

fn json(metadata: &Metadata) -> Option<String> {
    let pairs = || metadata.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    (!metadata.is_empty()).then(|| serde_json::Value::Object(pairs()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_lengths_of_few_kinds_and_none_is_left_out() {
        let rows: Vec<usize> = (0..5_000).collect();
        for count in [0, 1, 16, 17, 31, 1_024, 1_025, 5_000] {
            let chunks: Vec<_> = chunks(&rows[..count]).collect();
            assert_eq!(chunks.concat(), rows[..count]);
            assert!(chunks.iter().all(|chunk| chunk.len() <= 16 || chunk.len().is_power_of_two()));
            assert!(chunks.iter().all(|chunk| chunk.len() <= ROWS_MAX));
        }
    }

    #[tokio::test]
    async fn the_lock_is_taken_and_given_back_on_mysql() {
        let database = fluxo_testkit::database().await;
        let settings = fluxo_core::settings::DatabaseSettings::of_url(database.url.as_str());
        for _ in 0..2 {
            let store = Store::open_pool(&settings, 1).await.unwrap();
            lock(&store).await.unwrap();
            unlock(&store).await.unwrap();
            store.close().await;
        }
    }

    #[test]
    fn an_insert_has_a_placeholder_for_every_column_of_every_row() {
        assert_eq!(COLUMNS.split(',').count(), COLUMN_COUNT);
        assert_eq!(insert_of(3).matches('?').count(), 3 * COLUMN_COUNT);
    }
}
