//! Balances: what the last row of an account says, in each of its currencies.

use fluxo_core::{Account, Balance, Currency, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select};
use time::PrimitiveDateTime;

use super::{AccountBalance, row};
use crate::{Error, Store, entity::transaction};

/// How many rows one step of a search reads: 15 leave a sixteenth of what is searched, so 50,000 rows take four steps.
const PROBES: i64 = 15;

/// What a row says about a balance.
#[derive(FromQueryResult)]
struct Row {
    currency: String,
    scale: u8,
    account_seq: i64,
    balance_after: i64,
    recorded_at: PrimitiveDateTime,
}

impl TryFrom<Row> for AccountBalance {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let currency = row::currency(&row.currency, row.scale)?;
        Ok(Self {
            balance: Balance { minor: row.balance_after, currency },
            account_seq: row.account_seq,
            recorded_at: row.recorded_at.into(),
        })
    }
}

impl Store {
    /// The balances of an account, one a currency, ordered by currency: now, or as recorded at a time. Empty for an
    /// unknown account.
    ///
    /// It costs an index read a currency, and one more; those of a time cost a search over `account_seq` each, with
    /// which `recorded_at` grows.
    ///
    /// # Errors
    /// When the database fails, or a row is none that Fluxo wrote.
    pub async fn balances(
        &self,
        account: &Account,
        at: Option<Timestamp>,
    ) -> Result<Vec<AccountBalance>, Error> {
        let last = self.last_rows(account).await?;
        let Some(at) = at else { return Ok(last) };
        let mut balances = Vec::with_capacity(last.len());
        for last in last {
            if last.recorded_at <= at {
                balances.push(last);
            } else if let Some(earlier) = self.last_row_at(account, last, at).await? {
                balances.push(earlier);
            }
        }
        Ok(balances)
    }

    /// The last row of each currency of an account, ordered by currency. It goes down the index from one currency to
    /// the next, past all rows between.
    pub(super) async fn last_rows(&self, account: &Account) -> Result<Vec<AccountBalance>, Error> {
        let mut last: Vec<AccountBalance> = Vec::new();
        loop {
            // `[` follows `Z`: it is above every code.
            let above = last.last().map_or("[", |last| last.balance.currency.code());
            let row = of_account(account)
                .filter(transaction::Column::Currency.lt(above))
                .order_by_desc(transaction::Column::Currency)
                .order_by_desc(transaction::Column::AccountSeq)
                .limit(1)
                .into_model::<Row>()
                .one(&self.pool)
                .await?;
            match row {
                Some(row) => last.push(row.try_into()?),
                None => break,
            }
        }
        last.reverse();
        Ok(last)
    }

    /// The last row that was recorded by a time, before a row that was recorded later.
    async fn last_row_at(
        &self,
        account: &Account,
        later: AccountBalance,
        at: Timestamp,
    ) -> Result<Option<AccountBalance>, Error> {
        // The row at `low`, if any, was recorded by then, that at `high` was not.
        let (mut low, mut high, mut found) = (0, later.account_seq, None);
        while high - low > 1 {
            let rows = self.probe(account, later.balance.currency, &probes(low, high)).await?;
            let split = rows.partition_point(|row| row.recorded_at <= at);
            if let Some(before) = split.checked_sub(1).and_then(|index| rows.get(index)) {
                (low, found) = (before.account_seq, Some(*before));
            }
            if let Some(after) = rows.get(split) {
                high = after.account_seq;
            }
        }
        Ok(found)
    }

    /// The rows with some numbers, in their order.
    async fn probe(
        &self,
        account: &Account,
        currency: Currency,
        numbers: &[i64],
    ) -> Result<Vec<AccountBalance>, Error> {
        // Always as many placeholders, so that it is one statement to prepare.
        let last = numbers.last().copied().unwrap_or_default();
        let padded = (0..PROBES).zip(numbers.iter().copied().chain(std::iter::repeat(last)));
        let rows = of_account(account)
            .filter(transaction::Column::Currency.eq(currency.code()))
            .filter(transaction::Column::AccountSeq.is_in(padded.map(|(_, number)| number)))
            .order_by_asc(transaction::Column::AccountSeq)
            .into_model::<Row>()
            .all(&self.pool)
            .await?;
        // Numbers have no gaps. Going on over one might never end.
        if rows.len() != numbers.len() {
            return Err(row::foreign("account_seq"));
        }
        rows.into_iter().map(AccountBalance::try_from).collect()
    }
}

fn of_account(account: &Account) -> Select<transaction::Entity> {
    use transaction::Column::{AccountSeq, BalanceAfter, Currency, RecordedAt, Scale};
    transaction::Entity::find()
        .select_only()
        .columns([Currency, Scale, AccountSeq, BalanceAfter, RecordedAt])
        .filter(transaction::Column::Account.eq(account.as_str()))
}

/// At most [`PROBES`] numbers between two, which cut what is between into parts of about one length.
fn probes(low: i64, high: i64) -> Vec<i64> {
    let count = (high - low - 1).min(PROBES);
    let step = (high - low) / (count + 1);
    (1..=count).map(|part| low + part * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_lie_between_and_apart() {
        for (low, high) in [(0, 2), (0, 15), (0, 16), (0, 17), (7, 40), (0, 50_000), (5, i64::MAX)] {
            let probes = probes(low, high);
            assert_eq!(i64::try_from(probes.len()), Ok((high - low - 1).min(PROBES)));
            assert!(probes.iter().all(|probe| (low + 1..high).contains(probe)), "{probes:?}");
            assert!(probes.is_sorted_by(|one, next| one < next), "{probes:?}");
        }
        assert_eq!(probes(3, 4), Vec::<i64>::new());
    }
}
