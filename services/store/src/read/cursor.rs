//! Where a list goes on, as a value and as text.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fluxo_core::Currency;

/// Where a list goes on: for each currency, in their order, the `account_seq` below which nothing was listed yet.
///
/// It is valid for ever: rows are never changed, and new ones come before it. A currency that it does not name is
/// listed to its end, or had no row yet when the list began.
///
/// Its text is opaque and fits into a URL as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<(Currency, i64)>);

/// The first byte of the text's bytes. Texts that clients hold must be read by later releases.
const VERSION: u8 = 1;
/// The bytes of one currency: its code, and a number, highest byte first.
const ENTRY: usize = 3 + 8;

impl Cursor {
    /// Reads a text; `None` for anything that no cursor prints.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let entries = bytes.strip_prefix(&[VERSION])?;
        let (entries, []) = entries.as_chunks::<ENTRY>() else { return None };
        let entries: Vec<_> = entries.iter().map(entry).collect::<Option<_>>()?;
        let ordered = entries.is_sorted_by(|(one, _), (next, _)| one < next);
        (ordered && !entries.is_empty()).then_some(Self(entries))
    }
}

fn entry(bytes: &[u8; ENTRY]) -> Option<(Currency, i64)> {
    let (code, seq) = bytes.split_first_chunk::<3>()?;
    let currency = Currency::parse(std::str::from_utf8(code).ok()?).ok()?;
    let seq = i64::from_be_bytes(*seq.first_chunk()?);
    // Below 1 there is nothing to go on with.
    (seq > 0).then_some((currency, seq))
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * ENTRY);
        bytes.push(VERSION);
        for (currency, seq) in &self.0 {
            bytes.extend_from_slice(currency.code().as_bytes());
            bytes.extend_from_slice(&seq.to_be_bytes());
        }
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn the_text_of_a_cursor_never_changes() {
        let cursor = Cursor(vec![(currency("BRL"), 41), (currency("USD"), 7)]);
        assert_eq!(cursor.to_string(), "AUJSTAAAAAAAAAApVVNEAAAAAAAAAAc");
        assert_eq!(Cursor::parse("AUJSTAAAAAAAAAApVVNEAAAAAAAAAAc"), Some(cursor));
    }

    #[test]
    fn what_no_cursor_prints_is_none() {
        let text = |cursor: &[(&str, i64)]| {
            Cursor(cursor.iter().map(|(code, seq)| (currency(code), *seq)).collect()).to_string()
        };
        let bad = [
            String::new(),
            "x".into(),
            "AUJSTAAAAAAAAAApVVNEAAAAAAAAAA".into(),
            "AkJSTAAAAAAAAAApVVNEAAAAAAAAAAc".into(),
            text(&[]),
            text(&[("BRL", 0)]),
            text(&[("BRL", -1)]),
            text(&[("USD", 1), ("BRL", 1)]),
            text(&[("BRL", 2), ("BRL", 1)]),
        ];
        for text in bad {
            assert_eq!(Cursor::parse(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back_what_it_prints(one in 1..=i64::MAX, other in 1..=i64::MAX) {
            let cursor = Cursor(vec![(currency("BRL"), one), (currency("JPY"), other)]);
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,60}|.*") {
            let _ = Cursor::parse(&text);
        }
    }
}
