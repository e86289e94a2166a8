//! Poison among good records: quarantine, and the dead-letter topic.

use std::collections::{BTreeMap, BTreeSet};

use fluxo_core::{Position, TransactionId, message, quarantine::Reason};
use fluxo_listener::dead_letter::{connect, place, spring};
use fluxo_store::{
    quarantine::{Entry, Filter},
    record::{RawHeader, RawRecord},
};
use fluxo_testkit::{TestTopic, eventually};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
};

use crate::pipeline::{PATIENCE, Pipeline, records_of, transaction};

const PARTITIONS: i32 = 4;
const ACCOUNTS: usize = 40;
const GOOD: usize = 4_950;
/// One bad record to so many good ones.
const GOOD_BETWEEN: usize = 99;

fn flag(dead_letters: &TestTopic) -> String {
    format!("--listener-dead-letter-topic={}", dead_letters.name)
}

async fn quarantine(pipeline: &Pipeline) -> Vec<Entry> {
    pipeline.store.quarantine(&Filter::default(), 10_000).await.unwrap()
}

pub(crate) async fn until_forwarded(pipeline: &Pipeline, count: usize) {
    eventually("records that were forwarded", PATIENCE, async || {
        let entries = quarantine(pipeline).await;
        (entries.iter().filter(|entry| entry.forwarded_at.is_some()).count() == count).then_some(())
    })
    .await;
}

/// The bad record with a number, of one of four kinds, and why it is refused. A conflict has the id of a good record
/// of the same account, which comes before it.
fn bad(number: usize, account: &str, good: TransactionId) -> (RawRecord, Reason) {
    let header =
        |name: &str, value: Option<&[u8]>| RawHeader { name: name.into(), value: value.map(Into::into) };
    let headers = vec![
        header("number", Some(number.to_string().as_bytes())),
        header("none", None),
        header("number", Some(b"\xff\x00")),
    ];
    let (key, value, reason) = match number % 4 {
        0 => (Some(account), Some(b"\xff\x00 not json".to_vec()), Reason::NotOurs),
        1 => (None, None, Reason::NotOurs),
        2 => (Some("somebody-else"), Some(message::encode(&transaction(account, "7"))), Reason::KeyMismatch),
        _ => {
            let mut other = transaction(account, "9000");
            other.transaction.id = good;
            other.content_hash = [7; 32].into();
            (Some(account), Some(message::encode(&other)), Reason::Conflict)
        }
    };
    (RawRecord { key: key.map(Into::into), value, headers, timestamp_ms: None }, reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_record_in_a_hundred_holds_up_none_and_the_dead_letter_topic_has_exactly_them() {
    let pipeline = Pipeline::new(PARTITIONS).await;
    let dead_letters = fluxo_testkit::topic(PARTITIONS).await;
    let mut good: BTreeMap<String, Vec<TransactionId>> = BTreeMap::new();
    let mut poison = BTreeMap::new();
    for number in 0..GOOD {
        let account = format!("conta-{}", number % ACCOUNTS);
        let accepted = transaction(&account, "1");
        pipeline.send(&accepted);
        good.entry(account.clone()).or_default().push(accepted.transaction.id);
        if number % GOOD_BETWEEN == GOOD_BETWEEN - 1 {
            let (record, reason) = bad(poison.len(), &account, accepted.transaction.id);
            pipeline.send_record(&record);
            poison.insert(poison.len().to_string(), (record, reason));
        }
    }
    pipeline.flush();
    let listener = pipeline.listen(&[&flag(&dead_letters)]).await;
    for (account, ids) in &good {
        let rows = i64::try_from(ids.len()).unwrap();
        assert_eq!(pipeline.balance_after(account, rows).await, format!("{rows}.00"));
        assert_eq!(&pipeline.statement(account).await, ids, "{account}");
    }
    until_forwarded(&pipeline, poison.len()).await;
    listener.stop().await;
    // Nobody forwards again what was forwarded.
    let again = pipeline.listen(&[&flag(&dead_letters)]).await;
    again.until_ready().await;
    again.stop().await;
    check(&pipeline, &dead_letters, poison).await;
}

/// The dead-letter topic has exactly what is poison, each as it was and where it was, and so has the quarantine.
async fn check(
    pipeline: &Pipeline,
    dead_letters: &TestTopic,
    mut poison: BTreeMap<String, (RawRecord, Reason)>,
) {
    let entries = quarantine(pipeline).await;
    assert_eq!(entries.len(), poison.len());
    let mut entries: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.place.clone(), entry)).collect();
    let mut ordered: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for (partition, _, letter) in records_of(dead_letters) {
        let number = String::from_utf8(letter.headers[0].value.clone().unwrap()).unwrap();
        let (record, reason) = poison.remove(&number).expect("it is poison, and comes once");
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
        assert_eq!(letter.headers[..3], record.headers);
        let place = place(&letter.headers).unwrap();
        let entry = entries.remove(&place).expect("it is in quarantine");
        let (origin, timestamp_ms) = spring::read(&letter.headers).unwrap();
        assert_eq!(connect::read(&letter.headers).as_ref(), Some(&origin));
        assert_eq!((origin.reason, entry.reason), (reason, reason));
        assert_eq!((&origin.topic, &origin.group), (&pipeline.topic.name, &pipeline.topic.name));
        assert_eq!((origin.position, partition), (place.position, place.position.partition));
        assert!(timestamp_ms.is_some());
        ordered.entry(partition).or_default().push(origin.position.offset);
    }
    assert!(poison.is_empty() && entries.is_empty(), "{poison:?} {entries:?}");
    assert!(ordered.values().all(|offsets| offsets.is_sorted()), "{ordered:?}");
}

fn admin(pipeline: &Pipeline) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &pipeline.topic.bootstrap_servers).create().unwrap()
}

async fn set_max_bytes(pipeline: &Pipeline, topic: &TestTopic, bytes: &str) {
    let config = AlterConfig::new(ResourceSpecifier::Topic(&topic.name)).set("max.message.bytes", bytes);
    let altered = admin(pipeline).alter_configs([&config], &AdminOptions::new()).await.unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}

#[tokio::test]
async fn a_record_that_the_dead_letter_topic_does_not_take_holds_up_no_other_and_is_tried_again() {
    let pipeline = Pipeline::new(1).await;
    let dead_letters = fluxo_testkit::topic(1).await;
    set_max_bytes(&pipeline, &dead_letters, "4096").await;
    // Bytes that no compression makes fewer.
    let large: Vec<u8> = (0..1_000).flat_map(|_| TransactionId::generate().as_uuid().into_bytes()).collect();
    pipeline.send_raw(b"a", b"small");
    pipeline.send_raw(b"a", &large);
    pipeline.send_raw(b"a", b"small too");
    pipeline.flush();
    let listener = pipeline.listen(&[&flag(&dead_letters)]).await;
    until_forwarded(&pipeline, 2).await;
    let too_large = "fluxo_listener_not_forwarded_total{reason=\"too_large\"}";
    eventually("the metric", PATIENCE, async || {
        let (failed, waiting) =
            (listener.metric(too_large).await, listener.metric("fluxo_listener_unforwarded_records").await);
        (failed >= 1 && waiting == 1).then_some(())
    })
    .await;
    // What comes later is not held up either.
    pipeline.send_raw(b"a", b"later");
    pipeline.flush();
    until_forwarded(&pipeline, 3).await;
    set_max_bytes(&pipeline, &dead_letters, "1048576").await;
    until_forwarded(&pipeline, 4).await;
    listener.stop().await;
    let values: BTreeSet<_> =
        records_of(&dead_letters).into_iter().map(|(.., letter)| letter.value).collect();
    let expected = [&b"small"[..], &large, b"small too", b"later"];
    assert_eq!(values, expected.map(|value| Some(value.to_vec())).into());
}

#[tokio::test]
async fn a_dead_letter_topic_that_is_not_there_is_waited_for_and_rows_flow() {
    let pipeline = Pipeline::new(1).await;
    let dead_letters = fluxo_testkit::topic(1).await;
    let options = AdminOptions::new();
    admin(&pipeline).delete_topics(&[&dead_letters.name], &options).await.unwrap();
    pipeline.send_raw(b"ana", b"poison");
    pipeline.send(&transaction("ana", "1"));
    pipeline.flush();
    let listener = pipeline.listen(&[&flag(&dead_letters)]).await;
    assert_eq!(pipeline.balance_after("ana", 1).await, "1.00");
    listener.until_ready().await;
    eventually("a failure", PATIENCE, async || {
        (listener.metric("fluxo_listener_not_forwarded_total{reason=\"kafka\"}").await > 0).then_some(())
    })
    .await;
    let topic = NewTopic::new(&dead_letters.name, 1, TopicReplication::Fixed(1));
    eventually("the topic", PATIENCE, async || {
        let made = admin(&pipeline).create_topics([&topic], &options).await.unwrap();
        made.into_iter().all(|made| made.is_ok()).then_some(())
    })
    .await;
    until_forwarded(&pipeline, 1).await;
    listener.stop().await;
    assert_eq!(records_of(&dead_letters).len(), 1);
}

#[tokio::test]
async fn forwarding_goes_on_after_the_database_was_away() {
    let pipeline = Pipeline::new(1).await;
    let dead_letters = fluxo_testkit::topic(1).await;
    let (link, url) = pipeline.database.linked();
    let listener = pipeline.listen(&[&flag(&dead_letters), &format!("--database-url={url}")]).await;
    listener.until_ready().await;
    link.refuses();
    pipeline.send_raw(b"ana", b"poison");
    pipeline.flush();
    listener.until_readiness_has("database:").await;
    link.passes();
    until_forwarded(&pipeline, 1).await;
    listener.stop().await;
    let letters = records_of(&dead_letters);
    let position = Position { partition: 0, offset: 0 };
    assert_eq!(place(&letters[0].2.headers).unwrap().position, position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_forward_at_once_one_ends_midway_and_the_other_forwards_what_is_left() {
    const POISON: usize = 4_000;
    let pipeline = Pipeline::new(PARTITIONS).await;
    let dead_letters = fluxo_testkit::topic(PARTITIONS).await;
    let one = pipeline.listen(&[&flag(&dead_letters)]).await;
    let other = pipeline.listen(&[&flag(&dead_letters)]).await;
    one.until_ready().await;
    other.until_ready().await;
    for number in 0..POISON {
        pipeline.send_raw(format!("conta-{number}").as_bytes(), format!("poison {number}").as_bytes());
    }
    pipeline.flush();
    eventually("the first that are forwarded", PATIENCE, async || {
        (one.metric("fluxo_listener_forwarded_total").await > 0).then_some(())
    })
    .await;
    one.stop().await;
    until_forwarded(&pipeline, POISON).await;
    other.stop().await;
    // One that took over may forward again what the other had not noted yet: it is told by its place.
    let letters: BTreeSet<_> = records_of(&dead_letters)
        .into_iter()
        .map(|(.., letter)| (place(&letter.headers).unwrap(), letter.value.unwrap()))
        .collect();
    let places: BTreeSet<_> = quarantine(&pipeline).await.into_iter().map(|entry| entry.place).collect();
    let values: BTreeSet<_> = letters.iter().map(|(_, value)| value).collect();
    assert_eq!((letters.len(), places.len(), values.len()), (POISON, POISON, POISON));
    assert!(letters.iter().all(|(place, _)| places.contains(place)));
}
