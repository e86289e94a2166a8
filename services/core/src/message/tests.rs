use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{Client, ContentHash, Timestamp, TransactionId, transaction::Draft};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/message").join(name)
}

/// The transaction that every version's golden file holds, as far as that version can say it.
fn full() -> Accepted {
    let draft = Draft {
        account: Some("loja-1:caixa"),
        kind: Some("saida"),
        amount: Some("1234.56"),
        currency: Some("BRL"),
        description: Some("aluguel de \"março\""),
        occurred_at: Some("2026-11-21T09:00:00.000001-03:00"),
        metadata: vec![("nota", "4711"), ("filial", "São Paulo")],
    };
    let id = TransactionId::parse("019ab2c4-7d00-7000-8000-000000000001").unwrap();
    let accepted_at = Timestamp::parse("2026-11-21T12:00:01.5Z").unwrap();
    Accepted {
        reverses: TransactionId::parse("019ab2c4-7d00-7000-8000-000000000000"),
        ..draft.parse().unwrap().accept(id, Client::parse("erp").unwrap(), accepted_at)
    }
}

fn minimal() -> Accepted {
    let draft = Draft {
        account: Some("ana"),
        kind: Some("entrada"),
        amount: Some("1"),
        currency: Some("JPY"),
        ..Draft::default()
    };
    let id = TransactionId::parse("019ab2c4-7d00-7000-8000-000000000002").unwrap();
    let accepted_at = Timestamp::parse("2026-11-21T12:00:01.5Z").unwrap();
    draft.parse().unwrap().accept(id, Client::parse("erp").unwrap(), accepted_at)
}

#[test]
fn the_generated_message_is_the_one_that_was_kept() {
    for (name, accepted) in [("v1-full.json", full()), ("v1-minimal.json", minimal())] {
        fluxo_golden::check(testdata(name), &format!("{}\n", String::from_utf8(encode(&accepted)).unwrap()));
    }
}

#[test]
fn every_version_ever_written_decodes() {
    for (name, accepted) in [("v1-full.json", full()), ("v1-minimal.json", minimal())] {
        let value = fs::read(testdata(name)).unwrap();
        let key = accepted.transaction.account.as_str().as_bytes();
        assert_eq!(decode(Some(key), Some(&value)), Ok(accepted), "{name}");
    }
}

#[test]
fn no_version_is_without_its_golden_file() {
    for version in 1..=VERSION {
        assert!(testdata(&format!("v{version}-full.json")).exists(), "v{version} has no golden file");
    }
}

#[test]
fn a_version_from_the_future_is_told_from_what_is_not_ours() {
    assert_eq!(
        decode(Some(b"ana"), Some(br#"{"v":2,"account":"ana","new":{}}"#)),
        Err(Undecodable::Newer(2))
    );
    let not_ours: [&[u8]; 10] = [
        b"",
        b"x",
        b"{}",
        b"[]",
        b"null",
        br#"{"v":1}"#,
        br#"{"v":0}"#,
        br#"{"v":-1}"#,
        br#"{"v":"2"}"#,
        b"\xff\xfe",
    ];
    for value in not_ours {
        assert_eq!(
            decode(Some(b"ana"), Some(value)),
            Err(Undecodable::Refused(Reason::NotOurs)),
            "{value:?}"
        );
    }
    assert_eq!(decode(Some(b"ana"), None), Err(Undecodable::Refused(Reason::NotOurs)));
}

#[test]
fn a_field_that_the_version_does_not_have_is_not_skipped() {
    let value = String::from_utf8(encode(&minimal())).unwrap().replace("\"v\":1", "\"v\":1,\"fee\":\"1\"");
    assert_eq!(decode(Some(b"ana"), Some(value.as_bytes())), Err(Undecodable::Refused(Reason::NotOurs)));
}

#[test]
fn a_key_that_is_not_the_account_is_refused() {
    let value = encode(&minimal());
    for key in [None, Some(b"Ana".as_slice()), Some(b"")] {
        assert_eq!(decode(key, Some(&value)), Err(Undecodable::Refused(Reason::KeyMismatch)));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(Some(b"ana"), Some(&value));
    }

    #[test]
    fn a_message_reads_back_what_was_written(
        account in "[A-Za-z0-9._:-]{1,64}", minor in 1..=crate::money::MAX_MINOR, is_in in any::<bool>(),
        description in prop::option::of("\\PC{1,100}"), occurred in prop::option::of(-2_000_000_000_000_000..2_000_000_000_000_000_i64),
        pairs in prop::collection::btree_map("[a-z0-9_.-]{1,20}", "\\PC{0,30}", 0..16), reverses in any::<Option<u128>>(),
    ) {
        let currency = crate::Currency::parse("KWD").unwrap();
        let description = description.map(|text| crate::Description::parse(&text)).transpose();
        let metadata = crate::Metadata::parse(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        // What the domain refuses is never written.
        prop_assume!(description.is_ok() && metadata.is_ok());
        let submission = crate::Submission {
            account: crate::Account::parse(&account).unwrap(),
            kind: if is_in { crate::Kind::Entrada } else { crate::Kind::Saida },
            money: crate::Money::from_minor(minor, currency).unwrap(),
            description: description.unwrap(),
            occurred_at: occurred.and_then(crate::Timestamp::from_micros),
            metadata: metadata.unwrap(),
        };
        let (client, now) = (crate::Client::parse("erp").unwrap(), crate::Timestamp::now());
        let accepted = match reverses.map(|id| crate::TransactionId::from(uuid::Uuid::from_u128(id))) {
            Some(first) => submission.accept_as_reversal(first, client, now),
            None => submission.accept(crate::TransactionId::generate(), client, now),
        };
        prop_assert_eq!(decode(Some(account.as_bytes()), Some(&encode(&accepted))), Ok(accepted));
    }

    #[test]
    fn a_damaged_message_never_panics(at in 0..300_usize, byte in any::<u8>()) {
        let mut value = encode(&full());
        let at = at % value.len();
        value[at] = byte;
        let _ = decode(Some(b"loja-1:caixa"), Some(&value));
    }
}

#[test]
fn a_content_hash_survives_the_journey_unchanged() {
    let accepted = full();
    let decoded = decode(Some(b"loja-1:caixa"), Some(&encode(&accepted))).unwrap();
    assert_eq!(decoded.content_hash, accepted.content_hash);
    assert_ne!(decoded.content_hash, ContentHash::from([0; 32]));
}
