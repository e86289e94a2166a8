//! A transaction: one movement of money of one account.

use crate::{
    Account, Client, ContentHash, Description, Invalid, Kind, Metadata, Money, Timestamp, TransactionId,
};

/// What a client sends, with every part parsed. Two of them that are equal are the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Whose money moves.
    pub account: Account,
    /// In which direction.
    pub kind: Kind,
    /// How much of which currency.
    pub money: Money,
    /// What for.
    pub description: Option<Description>,
    /// When it happened, if the client says so.
    pub occurred_at: Option<Timestamp>,
    /// Pairs of the client's own.
    pub metadata: Metadata,
}

/// One movement of money of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// One for each thing that happened, however often it is sent.
    pub id: TransactionId,
    /// Whose money moves.
    pub account: Account,
    /// In which direction.
    pub kind: Kind,
    /// How much of which currency.
    pub money: Money,
    /// What for.
    pub description: Option<Description>,
    /// When it happened: what the client said, else when it was accepted.
    pub occurred_at: Timestamp,
    /// Pairs of the client's own.
    pub metadata: Metadata,
}

/// A transaction that was accepted: what is on Kafka, and what becomes a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The transaction.
    pub transaction: Transaction,
    /// Who sent it.
    pub client: Client,
    /// When the api took it.
    pub accepted_at: Timestamp,
    /// The transaction that this one reverses.
    pub reverses: Option<TransactionId>,
    /// The hash of what the client sent: two with the same id and another hash are in conflict.
    pub content_hash: ContentHash,
}

impl Submission {
    /// The hash of this content.
    pub fn content_hash(&self) -> ContentHash {
        ContentHash::of(self, None)
    }

    /// Accepts it under an id.
    pub fn accept(self, id: TransactionId, client: Client, now: Timestamp) -> Accepted {
        self.accepted(id, None, client, now)
    }

    /// Accepts it as the one reversal of a transaction.
    pub fn accept_as_reversal(self, of: TransactionId, client: Client, now: Timestamp) -> Accepted {
        self.accepted(of.of_reversal(), Some(of), client, now)
    }

    fn accepted(
        self,
        id: TransactionId,
        reverses: Option<TransactionId>,
        client: Client,
        now: Timestamp,
    ) -> Accepted {
        let content_hash = ContentHash::of(&self, reverses);
        Accepted {
            transaction: Transaction {
                id,
                account: self.account,
                kind: self.kind,
                money: self.money,
                description: self.description,
                occurred_at: self.occurred_at.unwrap_or(now),
                metadata: self.metadata,
            },
            client,
            accepted_at: now,
            reverses,
            content_hash,
        }
    }
}

impl Transaction {
    /// What takes it back (estorno): the same money of the same account in the other direction, and nothing that
    /// whoever asks for it could say in another way. So everybody who reverses it sends the same content.
    pub fn reversal(&self) -> Submission {
        Submission {
            account: self.account.clone(),
            kind: self.kind.opposite(),
            money: self.money,
            description: None,
            occurred_at: None,
            metadata: Metadata::default(),
        }
    }
}

/// The parts of a submission that are still text, as they come from outside.
#[derive(Clone, Debug, Default)]
pub struct Draft<'a> {
    /// See [`Submission::account`].
    pub account: Option<&'a str>,
    /// See [`Submission::kind`].
    pub kind: Option<&'a str>,
    /// The amount, a decimal.
    pub amount: Option<&'a str>,
    /// The code of its currency.
    pub currency: Option<&'a str>,
    /// See [`Submission::description`].
    pub description: Option<&'a str>,
    /// RFC 3339.
    pub occurred_at: Option<&'a str>,
    /// See [`Submission::metadata`].
    pub metadata: Vec<(&'a str, &'a str)>,
}

impl Draft<'_> {
    /// Parses every part.
    ///
    /// # Errors
    /// All that is wrong with it, not only the first.
    pub fn parse(&self) -> Result<Submission, Vec<Invalid>> {
        use crate::invalid::Field;
        let mut wrong = Vec::new();
        let account = required(self.account, Field::Account, &mut wrong, Account::parse);
        let kind = required(self.kind, Field::Kind, &mut wrong, Kind::parse);
        let currency = required(self.currency, Field::Currency, &mut wrong, crate::Currency::parse);
        let amount = required(self.amount, Field::Amount, &mut wrong, Ok);
        let money = amount
            .zip(currency)
            .and_then(|(amount, currency)| keep(Money::parse(amount, currency), &mut wrong));
        let description = self.description.and_then(|text| keep(Description::parse(text), &mut wrong));
        let occurred_at = self.occurred_at.and_then(|text| keep(Timestamp::parse(text), &mut wrong));
        let metadata = keep(Metadata::parse(self.metadata.iter().copied()), &mut wrong);
        match (account, kind, money, metadata) {
            (Some(account), Some(kind), Some(money), Some(metadata)) if wrong.is_empty() => {
                Ok(Submission { account, kind, money, description, occurred_at, metadata })
            }
            _ => Err(wrong),
        }
    }
}

fn keep<T>(parsed: Result<T, Invalid>, wrong: &mut Vec<Invalid>) -> Option<T> {
    parsed.map_err(|invalid| wrong.push(invalid)).ok()
}

fn required<'a, T>(
    text: Option<&'a str>,
    field: crate::invalid::Field,
    wrong: &mut Vec<Invalid>,
    parse: impl FnOnce(&'a str) -> Result<T, Invalid>,
) -> Option<T> {
    keep(text.ok_or(Invalid::Missing(field)).and_then(parse), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalid::Field;

    #[test]
    fn whoever_reverses_a_transaction_and_whenever_makes_the_same_of_it() {
        let draft = Draft {
            account: Some("ana"),
            kind: Some("entrada"),
            amount: Some("10.50"),
            currency: Some("BRL"),
            description: Some("aluguel"),
            metadata: vec![("a", "1")],
            ..Draft::default()
        };
        let client = |name| Client::parse(name).unwrap();
        let id = TransactionId::generate();
        let first = draft.parse().unwrap().accept(id, client("erp"), Timestamp::now()).transaction;
        let one = first.reversal().accept_as_reversal(id, client("erp"), Timestamp::now());
        let later = Timestamp::from_micros(Timestamp::now().micros() + 1_000_000).unwrap();
        let other = first.reversal().accept_as_reversal(id, client("crm"), later);
        assert_eq!((one.transaction.id, one.content_hash), (other.transaction.id, other.content_hash));
        assert_eq!((one.transaction.id, one.reverses), (id.of_reversal(), Some(id)));
        assert_eq!((&one.transaction.account, one.transaction.money), (&first.account, first.money));
        assert_eq!(one.transaction.kind, crate::Kind::Saida);
        let back = one.transaction.reversal();
        assert_eq!(back.kind, first.kind, "the reversal of a reversal moves the money as the first did");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let draft =
            Draft { account: Some("a b"), amount: Some("1e3"), currency: Some("BRL"), ..Draft::default() };
        assert_eq!(
            draft.parse(),
            Err(vec![Invalid::Account, Invalid::Missing(Field::Kind), Invalid::AmountFormat])
        );
    }

    #[test]
    fn the_moment_of_acceptance_stands_in_for_one_that_was_not_sent() {
        let draft = Draft {
            account: Some("ana"),
            kind: Some("saída"),
            amount: Some("10.5"),
            currency: Some("BRL"),
            ..Draft::default()
        };
        let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        let accepted =
            draft.parse().unwrap().accept(TransactionId::generate(), Client::parse("erp").unwrap(), now);
        assert_eq!(accepted.transaction.occurred_at, now);
        assert_eq!(accepted.transaction.kind, Kind::Saida);
        assert_eq!(accepted.transaction.money.minor(), 1050);
    }
}
