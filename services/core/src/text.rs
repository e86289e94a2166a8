//! What people write beside a transaction: a description, and pairs of their own.

use crate::{Invalid, name::is_name};

/// The longest description, in characters.
pub const DESCRIPTION_MAX: usize = 500;
/// The most pairs of metadata.
pub const METADATA_MAX: usize = 16;
/// The longest value of metadata, in characters.
pub const METADATA_VALUE_MAX: usize = 500;

/// 1 to 500 characters without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(Box<str>);

/// At most 16 pairs, ordered by key; a key is 1 to 64 of `[A-Za-z0-9._:-]`, a value at most 500 characters without
/// control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(Box<str>, Box<str>)>);

impl Description {
    /// Parses a description.
    ///
    /// # Errors
    /// [`Invalid::DescriptionLength`] or [`Invalid::DescriptionCharacter`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().any(char::is_control) {
            Err(Invalid::DescriptionCharacter)
        } else if (1..=DESCRIPTION_MAX).contains(&text.chars().count()) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::DescriptionLength)
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Metadata {
    /// Takes pairs in any order.
    ///
    /// # Errors
    /// The first of [`Invalid::MetadataCount`], [`Invalid::MetadataKey`], [`Invalid::MetadataValue`] and
    /// [`Invalid::MetadataRepeated`] that holds.
    pub fn parse<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Invalid> {
        let mut kept: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (key, value) in pairs {
            let (key, value) = (key.as_ref(), value.as_ref());
            if kept.len() == METADATA_MAX {
                return Err(Invalid::MetadataCount);
            }
            if !is_name(key) {
                return Err(Invalid::MetadataKey(key.into()));
            }
            if value.chars().any(char::is_control) || value.chars().count() > METADATA_VALUE_MAX {
                return Err(Invalid::MetadataValue(key.into()));
            }
            match kept.binary_search_by(|(other, _)| other.as_ref().cmp(key)) {
                Ok(_) => return Err(Invalid::MetadataRepeated(key.into())),
                Err(place) => kept.insert(place, (key.into(), value.into())),
            }
        }
        Ok(Self(kept))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, ordered by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_counted_in_characters_and_has_no_control_characters() {
        assert!(Description::parse(&"ç".repeat(500)).is_ok());
        assert_eq!(Description::parse(&"ç".repeat(501)), Err(Invalid::DescriptionLength));
        assert_eq!(Description::parse(""), Err(Invalid::DescriptionLength));
        for bad in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(Description::parse(bad), Err(Invalid::DescriptionCharacter), "{bad:?}");
        }
    }

    #[test]
    fn metadata_is_the_same_in_any_order() {
        let one = Metadata::parse([("b", "2"), ("a", "1")]).unwrap();
        assert_eq!(one, Metadata::parse([("a", "1"), ("b", "2")]).unwrap());
        assert_eq!(one.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn metadata_has_bounds() {
        let many = |count: usize| Metadata::parse((0..count).map(|i| (format!("k{i}"), "v")));
        assert!(many(16).is_ok());
        assert_eq!(many(17), Err(Invalid::MetadataCount));
        assert_eq!(Metadata::parse([("", "v")]), Err(Invalid::MetadataKey(String::new())));
        assert_eq!(Metadata::parse([("a", "1"), ("a", "1")]), Err(Invalid::MetadataRepeated("a".into())));
        assert_eq!(Metadata::parse([("a", "\0")]), Err(Invalid::MetadataValue("a".into())));
        assert_eq!(Metadata::parse([("a", "x".repeat(501))]), Err(Invalid::MetadataValue("a".into())));
    }
}
