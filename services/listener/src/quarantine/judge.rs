//! Whether it can help to try a refused record again.

use std::fmt;

use fluxo_core::{
    Accepted,
    message::{self, Undecodable},
    quarantine::Reason,
};
use fluxo_store::{Error, Store, record::RawRecord};

/// Whether it can help to try a record again, as far as can be known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Its cause is gone: it can become a row.
    Retry,
    /// It is a row already.
    Recorded,
    /// It would be refused again.
    Refused(Reason),
    /// A newer listener may read it, this one cannot.
    Newer(u64),
}

/// What there is of an account and an id, beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    /// Whether a row with the id has the same content; `None` when there is no such row.
    same: Option<bool>,
    /// The balance of the account in the currency, in minor units.
    balance: i64,
}

/// Judges a record by what the database holds now.
pub(super) async fn judge(store: &Store, raw: &RawRecord) -> Result<Judgement, Error> {
    let accepted = match message::decode(raw.key.as_deref(), raw.value.as_deref()) {
        Ok(accepted) => accepted,
        Err(Undecodable::Refused(reason)) => return Ok(Judgement::Refused(reason)),
        Err(Undecodable::Newer(version)) => return Ok(Judgement::Newer(version)),
    };
    let transaction = &accepted.transaction;
    let row = store.transaction(transaction.id).await?;
    let balances = store.balances(&transaction.account, None).await?;
    let currency = transaction.money.currency();
    let balance = balances.iter().find(|balance| balance.balance.currency == currency);
    let facts = Facts {
        same: row.map(|row| row.accepted.content_hash == accepted.content_hash),
        balance: balance.map_or(0, |balance| balance.balance.minor),
    };
    Ok(decide(&accepted, facts))
}

/// Pure.
fn decide(accepted: &Accepted, facts: Facts) -> Judgement {
    let transaction = &accepted.transaction;
    match facts.same {
        Some(true) => Judgement::Recorded,
        Some(false) => Judgement::Refused(Reason::Conflict),
        None if transaction.kind.apply(facts.balance, transaction.money.minor()).is_none() => {
            Judgement::Refused(Reason::Overflow)
        }
        None => Judgement::Retry,
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => f.write_str("it can be tried again"),
            Self::Recorded => f.write_str("it is a row already: there is nothing to try again"),
            Self::Refused(reason) => {
                write!(f, "trying again cannot help, it would be refused again: {}", reason.explanation())?;
                match reason {
                    Reason::Overflow => f.write_str("; a transaction the other way makes room"),
                    Reason::NotOurs | Reason::KeyMismatch | Reason::Conflict => Ok(()),
                }
            }
            Self::Newer(version) => {
                write!(
                    f,
                    "the message has version {version}, which this listener does not read: run a newer one"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fluxo_core::{Client, Timestamp, TransactionId, transaction::Draft};

    use super::*;

    #[test]
    fn only_what_can_become_a_row_is_tried_again() {
        let draft = Draft {
            account: Some("ana"),
            kind: Some("entrada"),
            amount: Some("1"),
            currency: Some("BRL"),
            ..Draft::default()
        };
        let client = Client::parse("test").unwrap();
        let accepted = draft.parse().unwrap().accept(TransactionId::generate(), client, Timestamp::now());
        for (same, balance, expected) in [
            (None, 0, Judgement::Retry),
            (None, i64::MAX - 100, Judgement::Retry),
            (None, i64::MAX - 99, Judgement::Refused(Reason::Overflow)),
            (Some(false), 0, Judgement::Refused(Reason::Conflict)),
            (Some(true), i64::MAX, Judgement::Recorded),
        ] {
            assert_eq!(decide(&accepted, Facts { same, balance }), expected);
        }
    }
}
