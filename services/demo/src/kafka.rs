//! The only place of the demo that knows rdkafka: a Kafka in this process, in memory.
//!
//! librdkafka's mock cluster begins empty at each start, with another topic id, and drops the oldest batches of a
//! partition beyond 5 MiB or 100,000 batches, without a word.
#![allow(unsafe_code, reason = "rdkafka does not wrap rd_kafka_mock_broker_add")]

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use fluxo_core::settings::KafkaSettings;
use fluxo_listener::kafka::{describe, outsider};
use fluxo_store::offsets::{StoredOffset, StoredOffsets};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    producer::{BaseProducer, Producer as _},
};
use rdkafka_sys as sys;

const TOPIC: &str = "transactions";
const PARTITIONS: i32 = 4;
/// How long it may take to answer: it is in this process.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A Kafka, which ends when this is dropped.
pub(crate) struct Kafka {
    settings: KafkaSettings,
    client: Arc<BaseConsumer>,
    /// Owns the mock cluster. After the client, which would look for a broker that is gone.
    _cluster: BaseProducer,
}

impl Kafka {
    /// Starts it, with an empty topic.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let cluster = cluster()?;
        let mock = cluster.client().mock_cluster().context("there is no mock cluster")?;
        mock.create_topic(TOPIC, PARTITIONS, 1)?;
        let settings = KafkaSettings::plaintext(mock.bootstrap_servers(), TOPIC);
        drop(mock);
        Ok(Self { client: Arc::new(outsider(&settings)?), settings, _cluster: cluster })
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

/// A client with a mock cluster of its own.
fn cluster() -> anyhow::Result<BaseProducer> {
    let mut config = ClientConfig::new();
    let cluster: BaseProducer = config.set("test.mock.num.brokers", "1").create()?;
    // SAFETY: the client outlives these calls, and owns the cluster.
    let added = unsafe {
        let mock = sys::rd_kafka_handle_mock_cluster(cluster.client().native_ptr());
        // A mock cluster says that its controller is broker 0, and numbers its brokers from 1. A client that asks what
        // a topic is asks the controller: without this one it would wait for ever.
        sys::rd_kafka_mock_broker_add(mock, 0)
    };
    ensure!(added as i32 == 0, "the mock cluster has no controller");
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_start_has_a_topic_of_its_own() {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let kafka = Kafka::start().unwrap();
            let beginnings = kafka.beginnings().await.unwrap();
            assert_eq!(beginnings.len(), 4);
            ids.push(beginnings[&0].topic_id.clone());
        }
        assert_ne!(ids[0], ids[1]);
    }
}
