//! A transaction on Kafka: key = account, value = JSON `{"v":1,…}`.
//!
//! Every version that was ever written decodes for ever: `testdata/message/` keeps files of each, which a test walks.
//! A version is frozen: any change of its fields, an optional one too, is a new version, since a listener that skips
//! a field it does not know would lose it. Trace context travels in headers, never in the value.

mod v1;

use serde::Deserialize;

use crate::{Accepted, quarantine::Reason};

/// Why a record cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A well-formed message of a version that this build does not know. It must wait for a newer listener: it is
    /// never quarantined.
    #[error("the message has version {0}, newer than this build knows")]
    Newer(u64),
    /// It can never be a row.
    #[error("{}", .0.explanation())]
    Refused(Reason),
}

/// The newest version that this build reads, and the one that it writes.
pub const VERSION: u64 = 1;

/// The value of the message; its key is the account.
pub fn encode(accepted: &Accepted) -> Vec<u8> {
    let mut value = Vec::with_capacity(512);
    serde_json::to_writer(&mut value, &v1::Written(accepted))
        .expect("a message has only strings and numbers");
    value
}

/// Decodes a record.
///
/// # Errors
/// [`Undecodable::Newer`] for a version from the future, else [`Undecodable::Refused`] with
/// [`Reason::NotOurs`] or [`Reason::KeyMismatch`].
pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Accepted, Undecodable> {
    let value = value.ok_or(Undecodable::Refused(Reason::NotOurs))?;
    let accepted = match serde_json::from_slice::<v1::Message<'_>>(value) {
        Ok(message) if message.v == 1 => {
            Accepted::try_from(message).map_err(|()| Undecodable::Refused(Reason::NotOurs))?
        }
        Ok(_) | Err(_) => return Err(version_of(value)),
    };
    if key == Some(accepted.transaction.account.as_str().as_bytes()) {
        Ok(accepted)
    } else {
        Err(Undecodable::Refused(Reason::KeyMismatch))
    }
}

/// Tells a version from the future from what is not a message at all.
fn version_of(value: &[u8]) -> Undecodable {
    #[derive(Deserialize)]
    struct Probe {
        v: u64,
    }
    match serde_json::from_slice::<Probe>(value) {
        Ok(Probe { v }) if v > VERSION => Undecodable::Newer(v),
        _ => Undecodable::Refused(Reason::NotOurs),
    }
}

#[cfg(test)]
mod tests;
