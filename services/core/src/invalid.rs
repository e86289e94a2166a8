//! Every way in which a transaction can be refused, each with the field, the reason and what would be valid.

use std::fmt;

/// Why a value is refused.
///
/// The set is closed: whoever turns a refusal into an answer matches on all of it. [`Invalid::pointer`] names the
/// field as a JSON pointer (RFC 6901) into the transaction; `Display` says why, and what would be valid.
/// It never repeats the refused value, which may be private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A field that must be there is not.
    Missing(Field),
    /// A field that Fluxo does not know. Refused, so that a misspelt `ocurred_at` is noticed.
    Unknown(String),
    /// A field that is there twice, so that nobody can say which one counts.
    Repeated(String),
    /// A field of another JSON type than it must have.
    Type {
        /// The field.
        field: Field,
        /// The JSON type it must have.
        expected: &'static str,
    },
    /// Not an object at all.
    NotAnObject,
    /// Not a plain positive decimal: a sign, an exponent, a separator, nothing, or something else.
    AmountFormat,
    /// More decimals than the currency has.
    AmountScale {
        /// How many decimals the currency has.
        scale: u8,
    },
    /// Zero, or above [`crate::money::MAX_MINOR`] minor units.
    AmountRange,
    /// Not a currency of ISO 4217 that has a minor unit.
    Currency,
    /// Neither `entrada` nor `saida`, nor one of their aliases.
    Kind,
    /// Not 1 to 64 of `[A-Za-z0-9._:-]`.
    Account,
    /// Not RFC 3339 with an offset.
    OccurredAtFormat,
    /// Before 1900 or after 9999.
    OccurredAtRange,
    /// Longer than [`crate::text::DESCRIPTION_MAX`] characters, or empty.
    DescriptionLength,
    /// Has a control character.
    DescriptionCharacter,
    /// More than [`crate::text::METADATA_MAX`] pairs.
    MetadataCount,
    /// A key that is not 1 to 64 of `[A-Za-z0-9._:-]`.
    MetadataKey(String),
    /// A key that is there twice.
    MetadataRepeated(String),
    /// A value that is not a string.
    MetadataType(String),
    /// A value longer than [`crate::text::METADATA_VALUE_MAX`] characters, or with a control character.
    MetadataValue(String),
    /// Not 1 to 255 visible ASCII characters.
    IdempotencyKey,
}

/// The fields that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of that name")]
pub enum Field {
    Account,
    Kind,
    Amount,
    Currency,
    Description,
    OccurredAt,
    Metadata,
    IdempotencyKey,
}

impl Field {
    /// All of them, in the order in which documents show them.
    pub const ALL: [Self; 8] = [
        Self::Account,
        Self::Kind,
        Self::Amount,
        Self::Currency,
        Self::Description,
        Self::OccurredAt,
        Self::Metadata,
        Self::IdempotencyKey,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Kind => "kind",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Description => "description",
            Self::OccurredAt => "occurred_at",
            Self::Metadata => "metadata",
            Self::IdempotencyKey => "idempotency_key",
        }
    }

    /// The field of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl Invalid {
    /// The field that is refused, as a JSON pointer into the transaction; empty for the whole of it.
    pub fn pointer(&self) -> String {
        match self {
            Self::NotAnObject => String::new(),
            Self::Missing(field) | Self::Type { field, .. } => format!("/{}", field.name()),
            Self::Unknown(name) | Self::Repeated(name) => format!("/{}", escape(name)),
            Self::AmountFormat | Self::AmountScale { .. } | Self::AmountRange => "/amount".into(),
            Self::Currency => "/currency".into(),
            Self::Kind => "/kind".into(),
            Self::Account => "/account".into(),
            Self::OccurredAtFormat | Self::OccurredAtRange => "/occurred_at".into(),
            Self::DescriptionLength | Self::DescriptionCharacter => "/description".into(),
            Self::MetadataCount => "/metadata".into(),
            Self::MetadataKey(key)
            | Self::MetadataRepeated(key)
            | Self::MetadataType(key)
            | Self::MetadataValue(key) => format!("/metadata/{}", escape(key)),
            Self::IdempotencyKey => "/idempotency_key".into(),
        }
    }

    /// A short, stable name of the reason, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Unknown(_) => "unknown_field",
            Self::Repeated(_) | Self::MetadataRepeated(_) => "repeated_field",
            Self::Type { .. } | Self::NotAnObject | Self::MetadataType(_) => "wrong_type",
            Self::AmountFormat => "amount_format",
            Self::AmountScale { .. } => "amount_scale",
            Self::AmountRange => "amount_range",
            Self::Currency => "currency",
            Self::Kind => "kind",
            Self::Account => "account",
            Self::OccurredAtFormat => "occurred_at_format",
            Self::OccurredAtRange => "occurred_at_range",
            Self::DescriptionLength => "description_length",
            Self::DescriptionCharacter => "description_character",
            Self::MetadataCount => "metadata_count",
            Self::MetadataKey(_) => "metadata_key",
            Self::MetadataValue(_) => "metadata_value",
            Self::IdempotencyKey => "idempotency_key",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "{} is missing", field.name()),
            Self::Unknown(_) => {
                f.write_str("is not a field of a transaction; these are: ")?;
                let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
                f.write_str(&names.join(", "))
            }
            Self::Repeated(_) | Self::MetadataRepeated(_) => f.write_str("is there more than once"),
            Self::Type { expected, .. } => write!(f, "must be {expected}"),
            Self::NotAnObject => f.write_str("must be a JSON object"),
            Self::AmountFormat => f.write_str(
                "must be a positive decimal in a string, digits with at most one point, such as \"1234.56\"",
            ),
            Self::AmountScale { scale: 0 } => f.write_str("must be whole: the currency has no decimals"),
            Self::AmountScale { scale } => write!(f, "has more than the {scale} decimals of its currency"),
            Self::AmountRange => f.write_str(
                "must be above zero and at most 1000000000000000 (10^15) minor units of its currency",
            ),
            Self::Currency => {
                f.write_str("must be the ISO 4217 code of a currency in capitals, such as \"BRL\"")
            }
            Self::Kind => f.write_str("must be \"entrada\" (money in) or \"saida\" (money out)"),
            Self::Account => f.write_str("must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -"),
            Self::OccurredAtFormat => {
                f.write_str("must be RFC 3339 with an offset, such as \"2026-11-21T14:32:00-03:00\"")
            }
            Self::OccurredAtRange => f.write_str("must be in the years 1900 to 9999 UTC"),
            Self::DescriptionLength => f.write_str("must be 1 to 500 characters"),
            Self::DescriptionCharacter => f.write_str("must not have control characters"),
            Self::MetadataCount => f.write_str("must have at most 16 pairs"),
            Self::MetadataKey(_) => {
                f.write_str("has a key that is not 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
            }
            Self::MetadataType(_) => f.write_str("must be a string"),
            Self::MetadataValue(_) => {
                f.write_str("must be at most 500 characters without control characters")
            }
            Self::IdempotencyKey => f.write_str("must be 1 to 255 visible ASCII characters"),
        }
    }
}

impl std::error::Error for Invalid {}

/// A name as one step of a JSON pointer, cut to a length that is safe to send back.
fn escape(name: &str) -> String {
    let cut: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    cut.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_rfc_6901_reserves() {
        assert_eq!(Invalid::Unknown("a/b~c".into()).pointer(), "/a~1b~0c");
        assert_eq!(Invalid::MetadataValue("x/y".into()).pointer(), "/metadata/x~1y");
    }

    #[test]
    fn a_pointer_does_not_repeat_a_name_of_any_length() {
        assert_eq!(Invalid::Unknown("x".repeat(10_000)).pointer().len(), 65);
    }

    #[test]
    fn the_numbers_in_the_texts_are_those_of_the_limits() {
        assert!(Invalid::AmountRange.to_string().contains(&crate::money::MAX_MINOR.to_string()));
        assert!(Invalid::DescriptionLength.to_string().contains(&crate::text::DESCRIPTION_MAX.to_string()));
        assert!(Invalid::MetadataCount.to_string().contains(&crate::text::METADATA_MAX.to_string()));
        assert!(
            Invalid::MetadataValue(String::new())
                .to_string()
                .contains(&crate::text::METADATA_VALUE_MAX.to_string())
        );
        assert!(Invalid::IdempotencyKey.to_string().contains(&crate::id::KEY_MAX.to_string()));
    }
}
