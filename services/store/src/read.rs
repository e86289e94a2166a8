//! Questions about transactions, balances and statements.
//!
//! Each costs a bounded number of index reads, however long the history of an account: there is no sum and no scan.

mod balance;
mod cursor;
mod fate;
mod list;
mod row;

use std::collections::HashMap;

use fluxo_core::{
    Accepted, Account, Balance, ContentHash, Currency, Kind, Timestamp, TransactionId, quarantine::Reason,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

pub use cursor::Cursor;

use crate::{Error, Store, entity::transaction, quarantine::Place, record::KEYS_MAX};

/// The most rows that a list or a statement gives at once.
pub const LIMIT_MAX: usize = 1_000;

/// A transaction that is a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What was accepted.
    pub accepted: Accepted,
    /// Its number in its account and currency, from 1.
    pub account_seq: i64,
    /// The balance of its account in its currency after it.
    pub balance_after: Balance,
    /// When it became a row; grows with `account_seq`.
    pub recorded_at: Timestamp,
}

/// A record that is in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub recorded_at: Timestamp,
}

/// What became of an accepted id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a row with this content.
    Recorded(ContentHash),
    /// It is in quarantine and no row has its id.
    Refused(Reason),
}

/// Which transactions of an account are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only those that occurred then or later.
    pub from: Option<Timestamp>,
    /// Only those that occurred before.
    pub to: Option<Timestamp>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first, by `recorded_at`.
    pub transactions: Vec<Recorded>,
    /// Where it goes on; `None` when there is no more. A page may be short, or empty, and still go on: what it may
    /// read is bounded.
    pub next: Option<Cursor>,
}

/// The balance of an account in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// The balance.
    pub balance: Balance,
    /// The number of the last row that it counts.
    pub account_seq: i64,
    /// When that row was recorded.
    pub recorded_at: Timestamp,
}

impl Store {
    /// The transaction with an id.
    ///
    /// # Errors
    /// When the database fails, or the row is none that Fluxo wrote.
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<Recorded>, Error> {
        let row = transaction::Entity::find()
            .filter(transaction::Column::Id.eq(id.as_uuid()))
            .one(&self.pool)
            .await?;
        row.map(Recorded::try_from).transpose()
    }

    /// The rows with ids, each with the place of its record; `None` for one that Fluxo never wrote. Ids without a row are
    /// left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rows(
        &self,
        ids: &[TransactionId],
    ) -> Result<HashMap<TransactionId, Option<(Recorded, Place)>>, Error> {
        let mut rows = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(KEYS_MAX) {
            let ids = ids.iter().map(|id| id.as_uuid());
            let found = transaction::Entity::find().filter(transaction::Column::Id.is_in(ids));
            for row in found.all(&self.pool).await? {
                let (id, place) = (row.id, row::place(&row));
                rows.insert(id.into(), Recorded::try_from(row).ok().zip(place));
            }
        }
        Ok(rows)
    }

    /// The transaction with an id, and whether another one reverses it, in one statement.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn transaction_and_reversal(
        &self,
        id: TransactionId,
    ) -> Result<Option<(Recorded, bool)>, Error> {
        let mut rows = transaction::Entity::find()
            .filter(transaction::Column::Id.is_in([id.as_uuid(), id.of_reversal().as_uuid()]))
            .all(&self.pool)
            .await?;
        let Some(place) = rows.iter().position(|row| row.id == id.as_uuid()) else { return Ok(None) };
        let row = rows.swap_remove(place);
        let is_reversed = rows.iter().any(|row| row.reverses == Some(id.as_uuid()));
        Ok(Some((Recorded::try_from(row)?, is_reversed)))
    }

    /// The rows of an account in a currency with `account_seq` above `after`, in that order, at most `limit` (1 to
    /// [`LIMIT_MAX`]).
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn statement(
        &self,
        account: &Account,
        currency: Currency,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let rows = transaction::Entity::find()
            .filter(transaction::Column::Account.eq(account.as_str()))
            .filter(transaction::Column::Currency.eq(currency.code()))
            .filter(transaction::Column::AccountSeq.gt(after))
            .order_by_asc(transaction::Column::AccountSeq)
            .limit(limit.clamp(1, LIMIT_MAX) as u64)
            .all(&self.pool)
            .await?;
        rows.into_iter().map(Recorded::try_from).collect()
    }
}
