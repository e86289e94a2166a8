//! Records that can never become a row, and why.

use std::fmt;

/// Why a record is in quarantine. Each is decided by the record and the rows before it alone, so that whoever
/// reads the record decides the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not a message of Fluxo.
    NotOurs,
    /// Its key is not its account: it may be in another partition than its account's other transactions.
    KeyMismatch,
    /// The balance of its account would leave `i64`.
    Overflow,
    /// Its id is that of a row with other content.
    Conflict,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotOurs, Self::KeyMismatch, Self::Overflow, Self::Conflict];

    /// Its name in the table, on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::KeyMismatch => "key_mismatch",
            Self::Overflow => "overflow",
            Self::Conflict => "conflict",
        }
    }

    /// The reason of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// What it means, for people.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::NotOurs => "the record is not a message of Fluxo",
            Self::KeyMismatch => "the key of the record is not its account",
            Self::Overflow => "the balance of the account would be larger than can be kept",
            Self::Conflict => "another transaction with other content has this id",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.as_str()), Some(reason));
        }
    }
}
