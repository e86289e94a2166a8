//! Names that identify: accounts and clients. Compared byte by byte: `Ana` and `ana` are two.

use std::fmt;

use crate::Invalid;

/// The longest name, in characters.
pub const NAME_MAX: usize = 64;

/// The account that a transaction belongs to: 1 to 64 of `[A-Za-z0-9._:-]`.
///
/// It is the key of the Kafka message, so all transactions of an account are in one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(Box<str>);

/// Who sent a transaction, as the key file names them: 1 to 64 of `[A-Za-z0-9._:-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(Box<str>);

/// Whether a text is 1 to 64 of `[A-Za-z0-9._:-]`.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

impl Account {
    /// Parses an account.
    ///
    /// # Errors
    /// [`Invalid::Account`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(Invalid::Account) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Client {
    /// Parses the name of a client; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_1_to_64_of_a_few_ascii_characters() {
        for good in ["a", "Ana", "loja-1:caixa.2_B", &"x".repeat(64)] {
            assert_eq!(Account::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "açúcar", "a/b", "a\0", "a\n", &"x".repeat(65)] {
            assert_eq!(Account::parse(bad), Err(Invalid::Account), "{bad:?}");
        }
    }

    #[test]
    fn accounts_that_differ_in_case_differ() {
        assert_ne!(Account::parse("Ana"), Account::parse("ana"));
    }
}
