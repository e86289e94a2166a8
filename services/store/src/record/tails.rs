//! What a writer remembers of accounts: the last number and balance of each.
//!
//! A stale tail can do no harm: the number that follows from it is taken, so the insert collides on
//! (account, currency, `account_seq`) and nothing is written. A tail from the future would leave a gap: so one is
//! remembered only after its commit was confirmed.

use std::num::NonZeroUsize;

use fluxo_core::{Accepted, Account, Currency, Timestamp};
use lru::LruCache;

/// An account in one currency: what is numbered and has a balance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    /// The account.
    pub account: Account,
    /// The currency.
    pub currency: Currency,
}

/// The last row of an account in a currency; the default is that of one that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Its number.
    pub account_seq: i64,
    /// The balance after it, in minor units.
    pub balance: i64,
    /// When it was recorded.
    pub recorded_at: Option<Timestamp>,
}

/// A bounded memory of tails.
#[derive(Debug)]
pub struct Tails(LruCache<AccountKey, Tail>);

impl Tails {
    /// Remembers at most `accounts`; the least recently used are forgotten first.
    pub fn new(accounts: NonZeroUsize) -> Self {
        Self(LruCache::new(accounts))
    }

    /// The tail of an account, if it is remembered.
    pub fn recall(&mut self, key: &AccountKey) -> Option<Tail> {
        self.0.get(key).copied()
    }

    /// Remembers a tail whose commit was confirmed.
    pub fn remember(&mut self, key: AccountKey, tail: Tail) {
        self.0.put(key, tail);
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

impl From<&Accepted> for AccountKey {
    fn from(accepted: &Accepted) -> Self {
        let transaction = &accepted.transaction;
        Self { account: transaction.account.clone(), currency: transaction.money.currency() }
    }
}
