//! Where a group stands.

use std::time::{Duration, SystemTime};

use fluxo_operator::{
    lag::{Offsets, TopicOffsets, Unknown},
    scaling::GroupState,
};
use fluxo_testkit::{TestTopic, eventually, topic};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{PATIENCE, away, kafka};

/// A group of its own for each topic.
fn group(topic: &TestTopic) -> String {
    format!("group.{}", topic.name)
}

fn config(topic: &TestTopic) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.bootstrap_servers).set("group.id", group(topic));
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

fn producer(topic: &TestTopic) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", &topic.bootstrap_servers).create().unwrap()
}

fn transactional(topic: &TestTopic) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.bootstrap_servers).set("transactional.id", &topic.name);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &TestTopic, partition: i32, count: usize) {
    for _ in 0..count {
        producer.send(BaseRecord::<(), _>::to(&topic.name).partition(partition).payload("x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn commit(topic: &TestTopic, partition: i32, offset: i64) {
    let consumer: BaseConsumer = config(topic).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic.name, partition, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

async fn offsets(topic: &TestTopic) -> TopicOffsets {
    kafka().offsets(&group(topic), &topic.name).await.unwrap()
}

fn of(offsets: &TopicOffsets, partition: i32) -> Offsets {
    *offsets.partitions[&partition].as_ref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_of_partitions_with_and_without_a_commit() {
    let topic = topic(3).await;
    let producer = producer(&topic);
    send(&producer, &topic, 0, 10);
    send(&producer, &topic, 1, 5);
    commit(&topic, 0, 4);
    let offsets = offsets(&topic).await;
    assert_eq!(of(&offsets, 0), Offsets { committed: Some(4), log_start: 0, last_stable: 10 });
    assert_eq!(of(&offsets, 1), Offsets { committed: None, log_start: 0, last_stable: 5 });
    assert_eq!(of(&offsets, 2), Offsets { committed: None, log_start: 0, last_stable: 0 });
    assert_eq!(offsets.lag(), Ok(11));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_deleted_is_no_lag() {
    let topic = topic(1).await;
    send(&producer(&topic), &topic, 0, 10);
    commit(&topic, 0, 2);
    let admin: AdminClient<DefaultClientContext> = config(&topic).create().unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic.name, 0, Offset::Offset(7)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    let offsets = offsets(&topic).await;
    assert_eq!(of(&offsets, 0), Offsets { committed: Some(2), log_start: 7, last_stable: 10 });
    assert_eq!(offsets.lag(), Ok(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_open_transaction_are_no_lag_until_it_ends() {
    let topic = topic(1).await;
    send(&producer(&topic), &topic, 0, 3);
    let producer = transactional(&topic);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, 4);
    assert_eq!(of(&offsets(&topic).await, 0).last_stable, 3);
    producer.commit_transaction(PATIENCE).unwrap();
    // The marker of the commit has an offset too.
    let ended = eventually("the end of the transaction", PATIENCE, async || {
        Some(of(&offsets(&topic).await, 0).last_stable).filter(|end| *end > 3)
    });
    assert_eq!(ended.await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_aborted_transaction_are_only_offsets_and_have_no_age() {
    let topic = topic(1).await;
    let producer = transactional(&topic);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, 4);
    producer.abort_transaction(PATIENCE).unwrap();
    let offsets = eventually("the end of the transaction", PATIENCE, async || {
        Some(offsets(&topic).await).filter(|offsets| of(offsets, 0).last_stable == 5)
    });
    let offsets = offsets.await;
    assert_eq!(kafka().oldest_unread(&group(&topic), &topic.name, &offsets).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_is_that_of_the_oldest_record_that_was_not_read() {
    let topic = topic(3).await;
    let producer = producer(&topic);
    let written = [(0, 5), (0, 1_000), (1, 3_000), (1, 4_000), (2, 1)];
    for (partition, at) in written {
        let record = BaseRecord::<(), _>::to(&topic.name).partition(partition).payload("x");
        producer.send(record.timestamp(1_700_000_000_000 + at)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    commit(&topic, 0, 1);
    commit(&topic, 2, 1);
    let oldest = kafka().oldest_unread(&group(&topic), &topic.name, &offsets(&topic).await).await;
    let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_001);
    assert_eq!(oldest, Ok(Some(expected)));
    commit(&topic, 0, 2);
    commit(&topic, 1, 2);
    assert_eq!(kafka().oldest_unread(&group(&topic), &topic.name, &offsets(&topic).await).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_empty_until_somebody_joins_and_asking_is_not_joining() {
    let topic = topic(1).await;
    send(&producer(&topic), &topic, 0, 1);
    let (kafka, group) = (kafka(), group(&topic));
    // A Kafka that has just started has no coordinator for the group yet.
    let before = eventually("a coordinator", PATIENCE, async || kafka.group(&group).await.ok()).await;
    assert_eq!((before.state, before.members), (GroupState::Empty, 0));
    let offsets = offsets(&topic).await;
    kafka.oldest_unread(&group, &topic.name, &offsets).await.unwrap();
    assert_eq!(kafka.group(&group).await.unwrap().members, 0);
    let consumer: BaseConsumer = config(&topic).create().unwrap();
    consumer.subscribe(&[&topic.name]).unwrap();
    eventually("a stable group of one", PATIENCE, async || {
        let _ = consumer.poll(Duration::from_millis(10));
        let now = kafka.group(&group).await.unwrap();
        ((now.state, now.members) == (GroupState::Stable, 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_unknown() {
    assert_eq!(kafka().offsets("group", "fluxo-test-none").await, Err(Unknown::NoTopic));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_away_is_unknown_within_the_timeout_and_says_why() {
    let began = std::time::Instant::now();
    let Err(Unknown::Away(why)) = away().offsets("group", "topic").await else { unreachable!() };
    assert!(why.contains("127.0.0.1:1") && why.contains("refused"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(matches!(away().group("group").await, Err(Unknown::Away(_))));
}
