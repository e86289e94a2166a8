//! When two submissions are the same.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Submission, TransactionId};

/// SHA-256 of the normalised fields that a client sent, without what the api filled in.
///
/// "The same content" means an equal hash: `10.5` and `10.50`, `saída` and `saida`, one moment in two offsets and
/// metadata in any order are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of a submission that reverses another transaction, or none.
    ///
    /// Each field is preceded by its tag and length, so no other fields give the same bytes. The tags can never
    /// change: hashes made with them are in the tables.
    pub fn of(submission: &Submission, reverses: Option<TransactionId>) -> Self {
        let mut hash = Sha256::new();
        let mut field = |tag: u8, bytes: &[u8]| {
            hash.update([tag]);
            hash.update(u32::try_from(bytes.len()).expect("every field is short").to_be_bytes());
            hash.update(bytes);
        };
        field(1, submission.account.as_str().as_bytes());
        field(2, submission.kind.as_str().as_bytes());
        field(3, &submission.money.minor().to_be_bytes());
        field(4, submission.money.currency().code().as_bytes());
        if let Some(description) = &submission.description {
            field(5, description.as_str().as_bytes());
        }
        if let Some(occurred_at) = submission.occurred_at {
            field(6, &occurred_at.micros().to_be_bytes());
        }
        for (key, value) in submission.metadata.iter() {
            field(7, key.as_bytes());
            field(8, value.as_bytes());
        }
        if let Some(reverses) = reverses {
            field(9, reverses.as_uuid().as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the hexadecimal form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl From<[u8; 32]> for ContentHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Draft;

    fn draft() -> Draft<'static> {
        Draft {
            account: Some("ana"),
            kind: Some("saida"),
            amount: Some("10.50"),
            currency: Some("BRL"),
            description: Some("aluguel"),
            occurred_at: Some("2026-11-21T12:00:00Z"),
            metadata: vec![("a", "1"), ("b", "2")],
        }
    }

    fn hash(draft: &Draft<'_>) -> ContentHash {
        draft.parse().unwrap().content_hash()
    }

    #[test]
    fn the_hash_of_a_content_never_changes() {
        assert_eq!(
            hash(&draft()).to_string(),
            "742220cb95fd7d08e4d8491e10d481957b3db9936b4dc73b70e631ab3ac5efdd"
        );
    }

    #[test]
    fn other_spellings_of_the_same_are_the_same() {
        let other = Draft {
            kind: Some("saída"),
            amount: Some("10.5"),
            occurred_at: Some("2026-11-21T09:00:00-03:00"),
            metadata: vec![("b", "2"), ("a", "1")],
            ..draft()
        };
        assert_eq!(hash(&other), hash(&draft()));
    }

    #[test]
    fn every_field_counts() {
        let others = [
            Draft { account: Some("Ana"), ..draft() },
            Draft { kind: Some("entrada"), ..draft() },
            Draft { amount: Some("10.51"), ..draft() },
            Draft { currency: Some("USD"), ..draft() },
            Draft { description: None, ..draft() },
            Draft { occurred_at: None, ..draft() },
            Draft { metadata: vec![("a", "1"), ("b", "3")], ..draft() },
            Draft { metadata: vec![("a", "1b2")], ..draft() },
        ];
        for other in others {
            assert_ne!(hash(&other), hash(&draft()), "{other:?}");
        }
        let submission = draft().parse().unwrap();
        assert_ne!(ContentHash::of(&submission, Some(TransactionId::generate())), hash(&draft()));
    }

    #[test]
    fn it_reads_back_what_it_prints() {
        let hash = hash(&draft());
        assert_eq!(ContentHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(ContentHash::parse("00"), None);
    }
}
