//! From a row to the domain. A table can hold what Fluxo never wrote, so every value is parsed again.

use fluxo_core::{
    Accepted, Account, Balance, Client, Currency, Description, Kind, Metadata, Money, Position, TopicId,
    Transaction,
};

use super::Recorded;
use crate::{Error, entity::transaction, quarantine::Place};

/// A value of `transactions` that Fluxo never wrote.
pub(super) const fn foreign(column: &'static str) -> Error {
    Error::Foreign { table: "transactions", column }
}

/// The currency of a row. Its scale is kept with it: amounts mean nothing under another one.
pub(super) fn currency(code: &str, scale: u8) -> Result<Currency, Error> {
    let currency = Currency::parse(code).map_err(|_| foreign("currency"))?;
    if currency.scale() == scale { Ok(currency) } else { Err(foreign("scale")) }
}

impl TryFrom<transaction::Model> for Recorded {
    type Error = Error;

    fn try_from(row: transaction::Model) -> Result<Self, Error> {
        let currency = currency(&row.currency, row.scale)?;
        let content_hash: [u8; 32] = row.content_hash.try_into().map_err(|_| foreign("content_hash"))?;
        let description = row.description.as_deref().map(Description::parse).transpose();
        let transaction = Transaction {
            id: row.id.into(),
            account: Account::parse(&row.account).map_err(|_| foreign("account"))?,
            kind: Kind::parse(&row.kind).map_err(|_| foreign("kind"))?,
            money: Money::from_minor(row.amount, currency).map_err(|_| foreign("amount"))?,
            description: description.map_err(|_| foreign("description"))?,
            occurred_at: row.occurred_at.into(),
            metadata: metadata(row.metadata.as_ref()).ok_or(foreign("metadata"))?,
        };
        Ok(Self {
            accepted: Accepted {
                transaction,
                client: Client::parse(&row.client).ok_or(foreign("client"))?,
                accepted_at: row.accepted_at.into(),
                reverses: row.reverses.map(Into::into),
                content_hash: content_hash.into(),
            },
            account_seq: row.account_seq,
            balance_after: Balance { minor: row.balance_after, currency },
            recorded_at: row.recorded_at.into(),
        })
    }
}

/// Where the record of a row lies; `None` for what Fluxo never wrote.
pub(super) fn place(row: &transaction::Model) -> Option<Place> {
    let position = Position { partition: row.partition, offset: row.offset };
    Some(Place { topic_id: TopicId::parse(&row.topic_id)?, position })
}

/// `None` for anything but an object of strings.
fn metadata(json: Option<&serde_json::Value>) -> Option<Metadata> {
    let Some(json) = json else { return Some(Metadata::default()) };
    let pairs = json.as_object()?.iter().map(|(key, value)| Some((key, value.as_str()?)));
    Metadata::parse(pairs.collect::<Option<Vec<_>>>()?).ok()
}
