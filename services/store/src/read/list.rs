//! The transactions of an account over all its currencies: a merge of the ranges that the index keeps, one a currency.

use std::{cmp::Reverse, collections::VecDeque};

use fluxo_core::{Account, Currency};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait};

use super::{Cursor, Filter, LIMIT_MAX, Page, Recorded};
use crate::{Error, Store, entity::transaction};

/// The most rows that a page reads, whatever the filter leaves of them.
const ROWS_MAX: i64 = 2_000;
/// How many rows a range reads at once at least: a statement costs more than a few rows.
const CHUNK_MIN: i64 = 16;
/// How many it reads at once at most.
const CHUNK_MAX: i64 = 512;

impl Store {
    /// The transactions of an account, newest first by `recorded_at`, at most `limit` (1 to [`LIMIT_MAX`]) a page.
    /// Those of one moment are ordered by currency, then by `account_seq`, the highest first.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn transactions(
        &self,
        account: &Account,
        filter: Filter,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        let limit = limit.clamp(1, LIMIT_MAX);
        let ends = if let Some(cursor) = cursor {
            cursor.0.clone()
        } else {
            let last = self.last_rows(account).await?;
            last.iter().map(|last| (last.balance.currency, last.account_seq + 1)).collect()
        };
        Merge::new(self, account, filter, ends, limit).page(limit).await
    }
}

/// The rows of one currency, from its end down.
struct Range {
    currency: Currency,
    /// Rows that were read and not listed yet, the newest first.
    rows: VecDeque<Recorded>,
    /// Every row with this number or a higher one was read.
    read_to: i64,
    /// How many rows are read next.
    chunk: i64,
}

impl Range {
    /// Whether it must be read before it is known what comes next.
    fn is_due(&self) -> bool {
        self.rows.is_empty() && self.read_to > 1
    }

    /// The number below which nothing was listed.
    fn end(&self) -> i64 {
        self.rows.front().map_or(self.read_to, |row| row.account_seq + 1)
    }
}

struct Merge<'a> {
    store: &'a Store,
    account: &'a Account,
    filter: Filter,
    ranges: Vec<Range>,
    /// How many rows may still be read.
    budget: i64,
}

impl<'a> Merge<'a> {
    fn new(
        store: &'a Store,
        account: &'a Account,
        filter: Filter,
        ends: Vec<(Currency, i64)>,
        limit: usize,
    ) -> Self {
        let as_rows = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let count = as_rows(ends.len()).max(1);
        // Enough for a page when all have the same share, and for every range to be read once.
        let chunk = (as_rows(limit) / count + 1).max(CHUNK_MIN).min(ROWS_MAX / count).max(1);
        let range = |(currency, read_to)| Range { currency, rows: VecDeque::new(), read_to, chunk };
        Self { store, account, filter, ranges: ends.into_iter().map(range).collect(), budget: ROWS_MAX }
    }

    async fn page(mut self, limit: usize) -> Result<Page, Error> {
        let mut transactions = Vec::new();
        while transactions.len() < limit && self.read_what_is_due().await? {
            match self.take_newest() {
                Some(newest) => transactions.push(newest),
                None => break,
            }
        }
        let ends: Vec<_> = self.ranges.iter().map(|range| (range.currency, range.end())).collect();
        let rest: Vec<_> = ends.into_iter().filter(|(_, end)| *end > 1).collect();
        Ok(Page { transactions, next: (!rest.is_empty()).then_some(Cursor(rest)) })
    }

    /// Reads until the newest row of every range is known; `false` when that would read too many.
    async fn read_what_is_due(&mut self) -> Result<bool, Error> {
        for range in &mut self.ranges {
            while range.is_due() {
                if self.budget == 0 {
                    return Ok(false);
                }
                let from = range.read_to.saturating_sub(range.chunk.min(self.budget)).max(1);
                let rows =
                    read(self.store, self.account, self.filter, range.currency, from..range.read_to).await?;
                self.budget -= range.read_to - from;
                range.rows.extend(rows);
                range.read_to = from;
                range.chunk = (range.chunk * 2).min(CHUNK_MAX.max(range.chunk));
            }
        }
        Ok(true)
    }

    fn take_newest(&mut self) -> Option<Recorded> {
        let heads = self.ranges.iter_mut().filter(|range| !range.rows.is_empty());
        let newest = heads
            .min_by_key(|range| (range.rows.front().map(|row| Reverse(row.recorded_at)), range.currency));
        newest?.rows.pop_front()
    }
}

/// Reads the rows with the numbers of a range that pass the filter, the highest first.
///
/// The range bounds what the database reads: a limit would let it look for matches through the whole history.
async fn read(
    store: &Store,
    account: &Account,
    filter: Filter,
    currency: Currency,
    numbers: std::ops::Range<i64>,
) -> Result<Vec<Recorded>, Error> {
    use transaction::Column::{self, AccountSeq, Kind, OccurredAt};
    let rows = transaction::Entity::find()
        .filter(Column::Account.eq(account.as_str()))
        .filter(Column::Currency.eq(currency.code()))
        .filter(AccountSeq.gte(numbers.start))
        .filter(AccountSeq.lt(numbers.end))
        .apply_if(filter.kind, |query, kind| query.filter(Kind.eq(kind.as_str())))
        .apply_if(filter.from, |query, from| query.filter(OccurredAt.gte(from.to_utc())))
        .apply_if(filter.to, |query, to| query.filter(OccurredAt.lt(to.to_utc())))
        .order_by_desc(AccountSeq)
        .all(&store.pool)
        .await?;
    rows.into_iter().map(Recorded::try_from).collect()
}
