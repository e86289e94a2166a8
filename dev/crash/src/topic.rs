//! What is on the topic.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedHeaders, Headers as _},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};

use crate::cluster::{PARTITIONS, TOPIC};

/// Longer than brokers take to come back, three at once on a machine that has other work.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// Of a dead letter: where it was read.
    pub(crate) origin: Option<Position>,
}

/// A partition and an offset.
pub(crate) type Position = (i32, i64);

/// Reads a topic.
pub(crate) struct Topic {
    name: &'static str,
    consumer: BaseConsumer,
    /// Where each partition is read next.
    next: Vec<i64>,
}

impl Topic {
    pub(crate) fn new(name: &'static str, servers: &str) -> anyhow::Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "crash")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()?;
        Ok(Self { name, consumer, next: vec![0; usize::try_from(PARTITIONS)?] })
    }

    /// The offset of the next record of each partition.
    pub(crate) fn ends(&self) -> anyhow::Result<Vec<i64>> {
        let end = |partition| Ok(self.consumer.fetch_watermarks(self.name, partition, TIMEOUT)?.1);
        (0..PARTITIONS).map(end).collect()
    }

    /// What has come since it was read last, up to these offsets, by partition and offset.
    pub(crate) fn read_to(&mut self, ends: &[i64]) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut assigned = TopicPartitionList::new();
        for (partition, next) in (0..).zip(&self.next) {
            assigned.add_partition_offset(self.name, partition, Offset::Offset(*next))?;
        }
        self.consumer.assign(&assigned)?;
        while self.next.iter().zip(ends).any(|(next, end)| next < end) {
            // A broker that went away is told of here, once it is back too.
            let Ok(message) = self.consumer.poll(TIMEOUT).context("no record comes")? else { continue };
            let partition = usize::try_from(message.partition())?;
            if message.offset() < ends[partition] {
                self.next[partition] = message.offset() + 1;
                records.push(Record {
                    position: (message.partition(), message.offset()),
                    key: message.key().unwrap_or_default().into(),
                    value: message.payload().unwrap_or_default().into(),
                    origin: message.headers().and_then(origin),
                });
            }
        }
        self.consumer.unassign()?;
        records.sort_unstable_by_key(|record| record.position);
        Ok(records)
    }
}

/// Where Kafka Connect's headers say that a record was read.
fn origin(headers: &BorrowedHeaders) -> Option<Position> {
    let number = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()?.parse::<i64>().ok()
    };
    let partition = number("__connect.errors.partition")?.try_into().ok()?;
    Some((partition, number("__connect.errors.offset")?))
}

/// Writes what does not belong on the topic.
pub(crate) struct Foreign(ThreadedProducer<DefaultProducerContext>);

impl Foreign {
    pub(crate) fn new(servers: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("acks", "all").set("enable.idempotence", "true");
        Ok(Self(config.create()?))
    }

    /// Puts a record on the topic, and waits until it is there.
    pub(crate) fn put(&self, key: &str, value: &str) -> anyhow::Result<()> {
        let record = BaseRecord::to(TOPIC).key(key).payload(value);
        self.0.send(record).map_err(|(error, _)| error)?;
        Ok(self.0.flush(TIMEOUT)?)
    }
}
