//! The only place of the demo that knows rdkafka: a Kafka in this process, in memory.
//!
//! librdkafka's mock cluster begins empty at each start, with another topic id, and drops the oldest batches of a
//! partition beyond 5 MiB or 100,000 batches, without a word.

use std::{sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use fluxo_core::settings::KafkaSettings;
use fluxo_listener::kafka::{describe, outsider};
use fluxo_store::offsets::{StoredOffset, StoredOffsets};
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    mocking::MockCluster,
};
use tokio::sync::oneshot;

const TOPIC: &str = "transactions";
const PARTITIONS: i32 = 4;
/// How long it may take to answer: it is in this process.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A Kafka, which ends when this is dropped.
pub(crate) struct Kafka {
    settings: KafkaSettings,
    client: Arc<BaseConsumer>,
    /// After the client, which would look for a broker that is gone.
    _broker: Broker,
}

/// The thread that the mock cluster lives on: it cannot be moved to another.
struct Broker {
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Kafka {
    /// Starts it, with an empty topic.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let (started, starting) = oneshot::channel();
        let live = move || match cluster() {
            Ok(cluster) => {
                let _ = started.send(Ok(cluster.bootstrap_servers()));
                // Until nobody holds the other end.
                let _ = ended.blocking_recv();
            }
            Err(error) => drop(started.send(Err(error))),
        };
        let thread = thread::Builder::new().name("mock-kafka".into()).spawn(live)?;
        let broker = Broker { end: Some(end), thread: Some(thread) };
        let brokers = starting.await?.context("the mock cluster did not start")?;
        let settings = KafkaSettings::plaintext(brokers, TOPIC);
        let client = Arc::new(outsider(&settings)?);
        Ok(Self { settings, client, _broker: broker })
    }

    /// How to reach it.
    pub(crate) fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// The offsets at which a listener begins: this topic is new, whatever was stored for one of its name.
    pub(crate) async fn beginnings(&self) -> anyhow::Result<StoredOffsets> {
        let client = Arc::clone(&self.client);
        let found = tokio::task::spawn_blocking(move || describe(&client, TOPIC)).await??;
        let partitions = 0..i32::try_from(found.partitions)?;
        let beginning = |partition| {
            let (cluster_id, topic_id) = (found.cluster_id.clone(), found.topic_id.clone());
            (partition, StoredOffset { cluster_id, topic_id, next_offset: 0 })
        };
        Ok(partitions.map(beginning).collect())
    }

    /// Whether all records that it has lie before these offsets.
    pub(crate) async fn is_read(&self, offsets: StoredOffsets) -> anyhow::Result<bool> {
        let client = Arc::clone(&self.client);
        let is_read = move || {
            for partition in 0..PARTITIONS {
                let (_, end) = client.fetch_watermarks(TOPIC, partition, TIMEOUT)?;
                if offsets.get(&partition).is_none_or(|stored| stored.next_offset < end) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        tokio::task::spawn_blocking(is_read).await?
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn cluster() -> anyhow::Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>> {
    let cluster = MockCluster::new(1)?;
    cluster.create_topic(TOPIC, PARTITIONS, 1)?;
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_start_has_a_topic_of_its_own() {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let kafka = Kafka::start().await.unwrap();
            let beginnings = kafka.beginnings().await.unwrap();
            assert_eq!(beginnings.len(), 4);
            ids.push(beginnings[&0].topic_id.clone());
        }
        assert_ne!(ids[0], ids[1]);
    }
}
