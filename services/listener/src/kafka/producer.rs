//! Puts records on a topic as they are: for the dead-letter topic, and for what a person tries again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use fluxo_core::{Position, settings::KafkaSettings};
use fluxo_store::record::RawRecord;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};

/// How long Kafka may take to acknowledge a record: short enough to be waited for in a shutdown.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts records on one topic.
#[derive(Clone)]
pub struct Producer {
    client: FutureProducer,
    topic: String,
}

/// Why a record was not acknowledged. It may be on the topic all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// It is larger than the topic takes.
    #[error("the record is larger than the topic takes: {0}")]
    TooLarge(String),
    /// The topic does not take this record for another reason.
    #[error("the topic does not take the record: {0}")]
    Refused(String),
    /// It has to do with Kafka, not with the record.
    #[error("Kafka did not acknowledge the record: {0}")]
    Away(String),
}

impl Producer {
    /// A producer for a topic. It connects when it is first used.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(kafka: &KafkaSettings, topic: &str) -> anyhow::Result<Self> {
        let client = config(kafka)?.create().context("the settings of Kafka cannot be used")?;
        Ok(Self { client, topic: topic.to_owned() })
    }

    /// How many partitions the topic has. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub fn partitions(&self) -> anyhow::Result<i32> {
        let topic = &self.topic;
        let found = self.client.client().fetch_metadata(Some(topic), super::TIMEOUT)?;
        let described = found.topics().first().filter(|described| described.error().is_none());
        let partitions = described.map_or(0, |described| described.partitions().len());
        ensure!(partitions > 0, "topic {topic} does not exist, or this user may not see it");
        i32::try_from(partitions).context("too many partitions")
    }

    /// Why this producer can never send again, if so: another one must be made.
    pub fn is_dead(&self) -> Option<String> {
        self.client.client().fatal_error().map(|(_, reason)| reason)
    }

    /// Hands a record over, at once, and waits for its acknowledgement when it is awaited. Without a partition, the key
    /// decides, as it does for the api. Its timestamp is now.
    pub fn send(
        &self,
        record: &RawRecord,
        partition: Option<i32>,
    ) -> impl Future<Output = Result<Position, NotSent>> + Send + use<> {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |all, header| {
                all.insert(Header { key: &header.name, value: header.value.as_deref() })
            });
        let sent = self.client.send_result(FutureRecord::<[u8], [u8]> {
            topic: &self.topic,
            partition,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: None,
            headers: Some(headers),
        });
        let sent = sent.map_err(|(error, _)| not_sent(&error));
        async move {
            match sent?.await {
                Ok(Ok(delivered)) => {
                    Ok(Position { partition: delivered.partition, offset: delivered.offset })
                }
                Ok(Err((error, _))) => Err(not_sent(&error)),
                Err(_) => Err(NotSent::Away("the producer has ended".into())),
            }
        }
    }
}

fn not_sent(error: &KafkaError) -> NotSent {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize,
        ) => NotSent::TooLarge(reason),
        Some(
            RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::PolicyViolation,
        ) => NotSent::Refused(reason),
        _ => NotSent::Away(reason),
    }
}

/// The properties of the producer. Every default that a guarantee rests on is set.
fn config(kafka: &KafkaSettings) -> anyhow::Result<ClientConfig> {
    let mut config = fluxo_kafka::client_config(kafka)?;
    config
        .set("client.id", "fluxo-listener")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
        .set("partitioner", "murmur2_random")
        .set("allow.auto.create.topics", "false")
        // The broker refuses a batch for one record that is too large: so each has a batch of its own, and it is the
        // broker that knows how large is too large.
        .set("batch.num.messages", "1")
        .set("message.max.bytes", "100000000")
        .set("linger.ms", "0")
        .set("compression.codec", "lz4");
    Ok(config)
}
