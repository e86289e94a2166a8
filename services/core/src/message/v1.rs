//! Version 1. Frozen: see the parent module.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::{SerializeMap, SerializeStruct},
};

use crate::{
    Accepted, Client, ContentHash, Invalid, Metadata, Timestamp, Transaction, TransactionId,
    text::METADATA_MAX, transaction::Draft,
};

/// The JSON value, read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'a> {
    pub(super) v: u64,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    accepted_at: Cow<'a, str>,
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(borrow)]
    content_hash: Cow<'a, str>,
    description: Option<Cow<'a, str>>,
    reverses: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metadata: Pairs<'a>,
}

/// The JSON value, written.
pub(super) struct Written<'a>(pub(super) &'a Accepted);

/// An object of strings that keeps what is there twice, so that it can be refused.
#[derive(Default)]
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl TryFrom<Message<'_>> for Accepted {
    /// Which field it is does not matter to anyone: the whole record goes to quarantine.
    type Error = ();

    fn try_from(message: Message<'_>) -> Result<Self, ()> {
        let draft = Draft {
            account: Some(&message.account),
            kind: Some(&message.kind),
            amount: Some(&message.amount),
            currency: Some(&message.currency),
            description: message.description.as_deref(),
            occurred_at: Some(&message.occurred_at),
            metadata: message.metadata.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect(),
        };
        let sent = draft.parse().map_err(|_: Vec<Invalid>| ())?;
        let id = |text: &str| TransactionId::parse(text).ok_or(());
        let accepted_at = Timestamp::parse(&message.accepted_at).map_err(|_| ())?;
        Ok(Self {
            transaction: Transaction {
                id: id(&message.id)?,
                account: sent.account,
                kind: sent.kind,
                money: sent.money,
                description: sent.description,
                occurred_at: sent.occurred_at.unwrap_or(accepted_at),
                metadata: sent.metadata,
            },
            client: Client::parse(&message.client).ok_or(())?,
            accepted_at,
            reverses: message.reverses.as_deref().map(id).transpose()?,
            content_hash: ContentHash::parse(&message.content_hash).ok_or(())?,
        })
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Accepted { transaction, client, accepted_at, reverses, content_hash } = self.0;
        let mut object = serializer.serialize_struct("Message", 13)?;
        object.serialize_field("v", &1_u64)?;
        object.serialize_field("id", &Text(transaction.id))?;
        object.serialize_field("account", transaction.account.as_str())?;
        object.serialize_field("kind", transaction.kind.as_str())?;
        object.serialize_field("amount", &Text(transaction.money))?;
        object.serialize_field("currency", transaction.money.currency().code())?;
        object.serialize_field("occurred_at", &Text(transaction.occurred_at))?;
        object.serialize_field("accepted_at", &Text(accepted_at))?;
        object.serialize_field("client", client.as_str())?;
        object.serialize_field("content_hash", &Text(content_hash))?;
        if let Some(description) = &transaction.description {
            object.serialize_field("description", description.as_str())?;
        }
        if let Some(reverses) = reverses {
            object.serialize_field("reverses", &Text(reverses))?;
        }
        if !transaction.metadata.is_empty() {
            object.serialize_field("metadata", &Object(&transaction.metadata))?;
        }
        object.end()
    }
}

/// A value as its text form.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Object<'a>(&'a Metadata);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.iter().len()))?;
        for (key, value) in self.0.iter() {
            object.serialize_entry(key, value)?;
        }
        object.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    // One more than can be valid is enough to refuse it.
                    if pairs.len() <= METADATA_MAX {
                        pairs.push(pair);
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}
