//! The headers of a record as a column of bytes: a JSON array of pairs of a name and a value in base64, or null. Headers
//! have an order, and a name may come twice.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::record::RawHeader;

pub(crate) fn encode(headers: &[RawHeader]) -> Vec<u8> {
    let pairs: Vec<_> = headers
        .iter()
        .map(|header| (&header.name, header.value.as_ref().map(|value| BASE64_STANDARD.encode(value))))
        .collect();
    serde_json::to_vec(&pairs).expect("pairs of strings are JSON")
}

/// `None` for what [`encode`] never writes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<RawHeader>> {
    let pairs: Vec<(String, Option<String>)> = serde_json::from_slice(bytes).ok()?;
    let header = |(name, value): (String, Option<String>)| {
        let value = value.map(|value| BASE64_STANDARD.decode(value)).transpose().ok()?;
        Some(RawHeader { name, value })
    };
    pairs.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_survive(pairs: Vec<(String, Option<Vec<u8>>)>) {
            let headers: Vec<_> = pairs.into_iter().map(|(name, value)| RawHeader { name, value }).collect();
            prop_assert_eq!(decode(&encode(&headers)), Some(headers));
        }
    }

    #[test]
    fn what_is_not_headers_is_none() {
        for bad in [&b""[..], b"{}", b"[[\"a\"]]", b"[[\"a\",\"no base64\"]]", b"\xff"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
