//! A transaction, read from JSON in one pass, with everything that is wrong with it.
//!
//! Two steps: the text becomes a shallow tree that borrows from it, then the tree becomes a submission. What cannot
//! be read as JSON at all is [`Rejected::Malformed`]; what can be, and is no transaction, is [`Rejected::Invalid`].
//! `null` stands for an optional field that is absent, and has the wrong type for a field that must be there.

use std::{borrow::Cow, fmt};

use fluxo_core::{Invalid, id::IdempotencyKey, invalid::Field, text::METADATA_MAX, transaction::Draft};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::publish::Sent;

/// Why a text is not a transaction. It never repeats the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It is not JSON; where.
    Malformed { line: usize, column: usize },
    /// It is JSON, and not a valid transaction.
    Invalid(Vec<Invalid>),
}

/// The most members of an object that are kept: more than there are fields, so that one too many is always seen.
const MEMBERS_MAX: usize = 32;

/// A JSON value, down to the depth that a transaction has.
#[derive(Debug)]
enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    Other,
}

/// Reads a transaction.
pub(crate) fn transaction(text: &str) -> Result<Sent, Rejected> {
    let mut last_name = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Shallow { depth: 0, last_name: &mut last_name }
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value));
    match value {
        Ok(Value::Object(members)) => sent(&members).map_err(Rejected::Invalid),
        Ok(_) => Err(Rejected::Invalid(vec![Invalid::NotAnObject])),
        Err(error) => Err(unreadable(text, &error, last_name)),
    }
}

/// Tells what is not JSON from a number beyond every type, which is well-formed: it has the wrong type wherever it
/// stands.
fn unreadable(text: &str, error: &serde_json::Error, last_name: Option<Cow<'_, str>>) -> Rejected {
    let too_large = error.to_string().starts_with("number out of range");
    if !too_large || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Rejected::Malformed { line: error.line(), column: error.column() };
    }
    Rejected::Invalid(vec![match last_name {
        Some(name) => Field::named(&name).map_or_else(|| Invalid::Unknown(name.into_owned()), wrong_type),
        None => Invalid::NotAnObject,
    }])
}

fn sent(members: &[(Cow<'_, str>, Value<'_>)]) -> Result<Sent, Vec<Invalid>> {
    let mut draft = Draft::default();
    let (mut key, mut wrong, mut seen) = (None, Vec::new(), Vec::with_capacity(Field::ALL.len()));
    for (name, value) in members {
        let Some(field) = Field::named(name) else {
            wrong.push(Invalid::Unknown(name.as_ref().into()));
            continue;
        };
        if seen.contains(&field) {
            wrong.push(Invalid::Repeated(name.as_ref().into()));
            continue;
        }
        seen.push(field);
        let place = match field {
            Field::Account => &mut draft.account,
            Field::Kind => &mut draft.kind,
            Field::Amount => &mut draft.amount,
            Field::Currency => &mut draft.currency,
            Field::Description => &mut draft.description,
            Field::OccurredAt => &mut draft.occurred_at,
            Field::IdempotencyKey => &mut key,
            Field::Metadata => {
                draft.metadata = metadata(value, &mut wrong);
                continue;
            }
        };
        match value {
            Value::Text(text) => *place = Some(text),
            Value::Null if is_optional(field) => {}
            Value::Null | Value::Object(_) | Value::Other => wrong.push(wrong_type(field)),
        }
    }
    let key = key.map(IdempotencyKey::parse).transpose().map_err(|invalid| wrong.push(invalid));
    match (draft.parse(), key) {
        (Ok(submission), Ok(key)) if wrong.is_empty() => Ok(Sent { submission, key, reverses: None }),
        (Ok(_), _) => Err(wrong),
        (Err(more), _) => {
            // A field that was there with another type is wrong once, not missing as well.
            let told = |invalid: &Invalid| matches!(invalid, Invalid::Missing(field) if seen.contains(field));
            wrong.extend(more.into_iter().filter(|invalid| !told(invalid)));
            Err(wrong)
        }
    }
}

fn metadata<'a>(value: &'a Value<'_>, wrong: &mut Vec<Invalid>) -> Vec<(&'a str, &'a str)> {
    let members = match value {
        Value::Null => return Vec::new(),
        Value::Object(members) => members,
        Value::Text(_) | Value::Other => {
            wrong.push(wrong_type(Field::Metadata));
            return Vec::new();
        }
    };
    let mut pairs = Vec::with_capacity(members.len().min(METADATA_MAX));
    for (key, value) in members {
        match value {
            Value::Text(value) => pairs.push((key.as_ref(), value.as_ref())),
            Value::Null | Value::Object(_) | Value::Other => {
                wrong.push(Invalid::MetadataType(key.as_ref().into()));
            }
        }
    }
    pairs
}

const fn is_optional(field: Field) -> bool {
    match field {
        Field::Account | Field::Kind | Field::Amount | Field::Currency => false,
        Field::Description | Field::OccurredAt | Field::Metadata | Field::IdempotencyKey => true,
    }
}

const fn wrong_type(field: Field) -> Invalid {
    let expected = match field {
        Field::Amount => "a decimal in a string, such as \"1234.56\"",
        Field::Metadata => "an object of strings",
        Field::Account
        | Field::Kind
        | Field::Currency
        | Field::Description
        | Field::OccurredAt
        | Field::IdempotencyKey => "a string",
    };
    Invalid::Type { field, expected }
}

/// The name of a member; borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a value, and below `depth` 2 only skips it.
struct Shallow<'s, 'a> {
    depth: u8,
    /// The member of the outermost object that is being read.
    last_name: &'s mut Option<Cow<'a, str>>,
}

impl<'a> DeserializeSeed<'a> for Shallow<'_, 'a> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Value<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Shallow<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    #[allow(clippy::disallowed_types, reason = "how serde hands over a number, which is refused")]
    fn visit_f64<E>(self, _: f64) -> Result<Value<'a>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Value<'a>, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Value<'a>, M::Error> {
        let mut members = Vec::with_capacity(Field::ALL.len());
        while members.len() < MEMBERS_MAX && self.depth < 2 {
            let Some(Name(name)) = map.next_key()? else { return Ok(Value::Object(members)) };
            if self.depth == 0 {
                *self.last_name = Some(name.clone());
            }
            let value = map.next_value_seed(Shallow {
                depth: self.depth.saturating_add(1),
                last_name: &mut *self.last_name,
            })?;
            members.push((name, value));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;
