//! Generated histories, and the model that reads are compared with: a vector of rows, searched from end to end.

use std::{cmp::Reverse, collections::BTreeMap};

use fluxo_core::{
    Accepted, Account, Balance, Client, Currency, Kind, Money, Timestamp, Transaction, TransactionId,
    transaction::Draft,
};
use fluxo_store::read::{AccountBalance, Filter, Recorded};

/// The same numbers for the same seed, so that a failure is seen again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, by `SplitMix64`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// What is recorded, in the order in which it is.
pub(crate) struct History {
    pub(crate) rows: Vec<Recorded>,
    clock: i64,
}

/// 2026-11-21T12:00:00Z.
pub(crate) const BEGIN: i64 = 1_795_262_400_000_000;

impl History {
    pub(crate) const fn new() -> Self {
        Self { rows: Vec::new(), clock: BEGIN }
    }

    /// Adds rows of an account in some of the currencies. Many are recorded at one moment, as those of a batch are.
    pub(crate) fn add(
        &mut self,
        random: &mut Random,
        account: &str,
        currencies: &[Currency],
        count: usize,
    ) -> usize {
        let before = self.rows.len();
        for _ in 0..count {
            self.clock += random.one_of(&[0, 0, 0, 1, 10, 999_999, 1_000_000]);
            let currency = random.one_of(currencies);
            let kind = random.one_of(&[Kind::Entrada, Kind::Saida]);
            let occurred_at = BEGIN + i64::try_from(random.below(5_000_000)).unwrap();
            let minor = i64::try_from(1 + random.below(100_000)).unwrap();
            self.push(account, kind, Money::from_minor(minor, currency).unwrap(), moment(occurred_at));
        }
        before
    }

    pub(crate) fn push(&mut self, account: &str, kind: Kind, money: Money, occurred_at: Timestamp) {
        let (account, currency) = (Account::parse(account).unwrap(), money.currency());
        let last = self.rows.iter().rev().find(|row| is_of(row, &account, currency));
        let (seq, balance) = last.map_or((0, 0), |last| (last.account_seq, last.balance_after.minor));
        let recorded_at = moment(self.clock);
        self.rows.push(Recorded {
            accepted: accepted(&account, kind, money, occurred_at),
            account_seq: seq + 1,
            balance_after: Balance { minor: kind.apply(balance, money.minor()).unwrap(), currency },
            recorded_at,
        });
    }

    pub(crate) fn list(&self, account: &Account, filter: Filter) -> Vec<Recorded> {
        let passes = |row: &&Recorded| {
            let transaction = &row.accepted.transaction;
            &transaction.account == account
                && filter.kind.is_none_or(|kind| transaction.kind == kind)
                && filter.from.is_none_or(|from| transaction.occurred_at >= from)
                && filter.to.is_none_or(|to| transaction.occurred_at < to)
        };
        let mut list: Vec<_> = self.rows.iter().filter(passes).cloned().collect();
        list.sort_by_key(|row| (Reverse(row.recorded_at), currency(row), Reverse(row.account_seq)));
        list
    }

    pub(crate) fn balances(&self, account: &Account, at: Option<Timestamp>) -> Vec<AccountBalance> {
        let mut balances = BTreeMap::new();
        for row in &self.rows {
            if &row.accepted.transaction.account == account && at.is_none_or(|at| row.recorded_at <= at) {
                let (balance, account_seq, recorded_at) =
                    (row.balance_after, row.account_seq, row.recorded_at);
                balances.insert(currency(row), AccountBalance { balance, account_seq, recorded_at });
            }
        }
        balances.into_values().collect()
    }

    pub(crate) fn statement(
        &self,
        account: &Account,
        currency: Currency,
        after: i64,
        limit: usize,
    ) -> Vec<Recorded> {
        let rows = self.rows.iter().filter(|row| is_of(row, account, currency) && row.account_seq > after);
        rows.take(limit).cloned().collect()
    }

    pub(crate) fn moments(&self) -> impl Iterator<Item = Timestamp> {
        self.rows.iter().map(|row| row.recorded_at)
    }
}

pub(crate) fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

pub(crate) fn account(name: &str) -> Account {
    Account::parse(name).unwrap()
}

pub(crate) fn currencies(codes: &[&str]) -> Vec<Currency> {
    codes.iter().map(|code| Currency::parse(code).unwrap()).collect()
}

/// Every currency there is.
pub(crate) fn all_currencies() -> Vec<Currency> {
    let letters = || 'A'..='Z';
    let codes =
        letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    codes.filter_map(|code| Currency::parse(&code).ok()).collect()
}

fn currency(row: &Recorded) -> Currency {
    row.accepted.transaction.money.currency()
}

fn is_of(row: &Recorded, account: &Account, of: Currency) -> bool {
    &row.accepted.transaction.account == account && currency(row) == of
}

fn accepted(account: &Account, kind: Kind, money: Money, occurred_at: Timestamp) -> Accepted {
    let (amount, currency) = (money.to_string(), money.currency());
    let submission = Draft {
        account: Some(account.as_str()),
        kind: Some(kind.as_str()),
        amount: Some(&amount),
        currency: Some(currency.code()),
        ..Draft::default()
    };
    let accepted = submission.parse().unwrap().accept(
        TransactionId::generate(),
        Client::parse("erp").unwrap(),
        occurred_at,
    );
    Accepted { transaction: Transaction { occurred_at, ..accepted.transaction }, ..accepted }
}
