//! A record of the topic as a follower is given it.

use std::collections::BTreeMap;

use fluxo_core::{
    Accepted,
    message::{self, Undecodable},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A record of the topic, made ready once for all followers.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) partition: usize,
    pub(crate) offset: i64,
    pub(crate) content: Content,
}

/// What a record is to followers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An accepted transaction, in JSON.
    Accepted(String),
    /// A message of a version that this build does not know.
    Newer,
    /// No message of ours: nobody was told that it is accepted, and it never becomes a row.
    Foreign,
}

/// A transaction that Kafka has. It becomes a row, or is refused, later.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedTransaction)]
pub(crate) struct Event {
    #[schema(value_type = uuid::Uuid)]
    id: String,
    #[schema(example = "ana")]
    account: String,
    /// `entrada`: money in; `saida`: money out
    #[schema(example = "entrada")]
    kind: &'static str,
    /// A decimal, with all the decimals of its currency
    #[schema(example = "1234.56")]
    amount: String,
    #[schema(example = "BRL")]
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(format = DateTime)]
    occurred_at: String,
    #[schema(format = DateTime)]
    accepted_at: String,
    /// Who sent it
    client: String,
    /// The transaction that this one reverses
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    reverses: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl Content {
    /// What the bytes of a record are.
    pub(super) fn of(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        match message::decode(key, value) {
            Ok(accepted) => {
                let event = Event::from(&accepted);
                Self::Accepted(serde_json::to_string(&event).expect("an event has only strings"))
            }
            Err(Undecodable::Newer(_)) => Self::Newer,
            Err(Undecodable::Refused(_)) => Self::Foreign,
        }
    }
}

impl From<&Accepted> for Event {
    fn from(accepted: &Accepted) -> Self {
        let transaction = &accepted.transaction;
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            id: transaction.id.to_string(),
            account: transaction.account.to_string(),
            kind: transaction.kind.as_str(),
            amount: transaction.money.to_string(),
            currency: transaction.money.currency().to_string(),
            description: transaction.description.as_ref().map(|text| text.as_str().to_owned()),
            occurred_at: transaction.occurred_at.to_string(),
            accepted_at: accepted.accepted_at.to_string(),
            client: accepted.client.to_string(),
            reverses: accepted.reverses.map(|id| id.to_string()),
            metadata: transaction.metadata.iter().map(pair).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_transaction_is_told_from_what_is_one_of_a_newer_release() {
        assert_eq!(Content::of(None, None), Content::Foreign);
        assert_eq!(Content::of(Some(b"ana"), Some(b"{}")), Content::Foreign);
        assert_eq!(Content::of(Some(b"ana"), Some(br#"{"v":2}"#)), Content::Newer);
    }
}
