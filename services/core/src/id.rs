//! The id of a transaction: one for each thing that happened, however often it is sent.

use std::fmt;

use uuid::{Uuid, uuid};

use crate::{Client, Invalid};

/// The longest `Idempotency-Key`, in characters.
pub const KEY_MAX: usize = 255;

/// The namespaces of the ids that are derived. They can never change: ids derived with them are in the tables.
const OF_KEYS: Uuid = uuid!("6d2f3a0c-2f0b-5c53-9d0e-0f1c1b1a5f01");
const OF_REVERSALS: Uuid = uuid!("6d2f3a0c-2f0b-5c53-9d0e-0f1c1b1a5f02");

/// The id of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(Uuid);

/// What a client calls one attempt and all its retries: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(Box<str>);

impl TransactionId {
    /// A new id (UUIDv7): unique, and near in the index to others of its time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that a client's key stands for (UUIDv5), so that a retry has the id of the first attempt.
    ///
    /// Each part is preceded by its length: no other client and key give the same bytes.
    pub fn of_key(client: &Client, key: &IdempotencyKey) -> Self {
        let mut name = Vec::with_capacity(8 + client.as_str().len() + key.0.len());
        for part in [client.as_str(), &key.0] {
            let length = u32::try_from(part.len()).expect("names and keys are short");
            name.extend_from_slice(&length.to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Self(Uuid::new_v5(&OF_KEYS, &name))
    }

    /// The id of the one reversal that a transaction can have (UUIDv5).
    #[must_use]
    pub fn of_reversal(self) -> Self {
        Self(Uuid::new_v5(&OF_REVERSALS, self.0.as_bytes()))
    }

    /// Parses the hyphenated form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // `Uuid::parse_str` also reads braces and URNs: one id would have several addresses.
        (text.len() == 36).then(|| Uuid::parse_str(text).ok()).flatten().map(Self)
    }

    /// Its 16 bytes.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for TransactionId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl IdempotencyKey {
    /// Parses a key. One in double quotes, as the draft standard writes it, is the same as one without.
    ///
    /// # Errors
    /// [`Invalid::IdempotencyKey`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let valid = (1..=KEY_MAX).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(bare.into())) } else { Err(Invalid::IdempotencyKey) }
    }

    /// The key of the record at `index` of a batch that was sent with this key.
    ///
    /// # Errors
    /// [`Invalid::IdempotencyKey`] when it would be too long.
    pub fn at(&self, index: usize) -> Result<Self, Invalid> {
        Self::parse(&format!("{}#{index}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(client: &str, key: &str) -> TransactionId {
        TransactionId::of_key(&Client::parse(client).unwrap(), &IdempotencyKey::parse(key).unwrap())
    }

    #[test]
    fn the_same_client_and_key_are_the_same_id_for_ever() {
        assert_eq!(derived("erp", "pedido-1").to_string(), "d0149734-16b5-5449-86e8-6a7569e511d9");
        assert_eq!(derived("erp", "\"pedido-1\""), derived("erp", "pedido-1"));
    }

    #[test]
    fn no_two_pairs_of_client_and_key_share_an_id_by_where_they_are_cut() {
        assert_ne!(derived("a", "bc"), derived("ab", "c"));
    }

    #[test]
    fn a_reversal_of_a_reversal_is_another_transaction() {
        let id = derived("erp", "pedido-1");
        assert_ne!(id.of_reversal(), id);
        assert_ne!(id.of_reversal().of_reversal(), id);
        assert_eq!(id.of_reversal(), id.of_reversal());
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = TransactionId::generate();
        assert_eq!(TransactionId::parse(&id.to_string()), Some(id));
        for bad in ["", "x", &id.as_uuid().simple().to_string(), &id.as_uuid().braced().to_string()] {
            assert_eq!(TransactionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_is_1_to_255_visible_ascii_characters() {
        for bad in ["", "\"\"", "a b", "é", "a\0", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(Invalid::IdempotencyKey), "{bad:?}");
        }
        assert!(IdempotencyKey::parse(&"x".repeat(255)).is_ok());
        assert_eq!(IdempotencyKey::parse(&"x".repeat(254)).unwrap().at(10), Err(Invalid::IdempotencyKey));
    }
}
