//! What is written is read again, and is what other tools read.

use fluxo_core::Timestamp;
use proptest::prelude::*;

use super::*;

fn origin(topic: String, (partition, offset): (i32, i64), group: String, reason: Reason) -> Origin {
    Origin { topic, position: Position { partition, offset }, group, reason }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        topic: String,
        position: (i32, i64),
        group: String,
        reason in prop::sample::select(&Reason::ALL[..]),
        timestamp_ms in prop::option::of(0..i64::MAX),
        older in prop::sample::select(&Reason::ALL[..]),
    ) {
        let origin = origin(topic, position, group, reason);
        // It may have been a dead letter before.
        let before = Origin { topic: "before".into(), reason: older, ..origin.clone() };
        let mut headers = connect::write(&before).to_vec();
        headers.extend(spring::write(&before, Some(7)));
        headers.extend(connect::write(&origin));
        headers.extend(spring::write(&origin, timestamp_ms));
        prop_assert_eq!(connect::read(&headers), Some(origin.clone()));
        prop_assert_eq!(spring::read(&headers), Some((origin, timestamp_ms)));
    }
}

#[test]
fn the_headers_are_those_that_other_tools_read() {
    let origin = origin("transactions".into(), (3, 258), "fluxo".into(), Reason::KeyMismatch);
    let value = |headers: &[RawHeader], name| last(headers, name).unwrap_or_default().to_vec();
    let connect = connect::write(&origin);
    for (name, expected) in [
        ("__connect.errors.topic", "transactions"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.offset", "258"),
        ("__connect.errors.connector.name", "fluxo"),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "KEY_CONVERTER"),
        ("__connect.errors.class.name", "fluxo.listener"),
        ("__connect.errors.exception.class.name", "fluxo.quarantine.key_mismatch"),
        ("__connect.errors.exception.message", "the key of the record is not its account"),
    ] {
        assert_eq!(value(&connect, name), expected.as_bytes(), "{name}");
    }
    let spring = spring::write(&origin, Some(1));
    for (name, expected) in [
        ("kafka_dlt-original-topic", &b"transactions"[..]),
        ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 2]),
        ("kafka_dlt-original-timestamp", &[0, 0, 0, 0, 0, 0, 0, 1]),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"fluxo"),
        ("kafka_dlt-exception-fqcn", b"fluxo.quarantine.key_mismatch"),
        ("kafka_dlt-exception-message", b"the key of the record is not its account"),
    ] {
        assert_eq!(value(&spring, name), expected, "{name}");
    }
}

#[test]
fn a_letter_has_the_original_and_tells_its_place() {
    let place =
        Place { topic_id: TopicId::parse("t1").unwrap(), position: Position { partition: 1, offset: 9 } };
    let entry = Entry {
        place: place.clone(),
        topic: "transactions".into(),
        id: None,
        reason: Reason::NotOurs,
        recorded_at: Timestamp::now(),
        forwarded_at: None,
    };
    let own = RawHeader { name: "traceparent".into(), value: None };
    let raw = RawRecord {
        key: Some(b"ana".to_vec()),
        value: None,
        headers: vec![own.clone()],
        timestamp_ms: Some(5),
    };
    let letter = letter(&entry, raw.clone(), "fluxo");
    assert_eq!((&letter.key, &letter.value, &letter.headers[0]), (&raw.key, &raw.value, &own));
    assert_eq!(super::place(&letter.headers), Some(place));
    assert_eq!(super::place(&raw.headers), None);
}
