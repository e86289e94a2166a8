//! The producer; and, in [`source`], reading. The only part of the api that knows Kafka's client.
//!
//! A record that is handed over ends in exactly one call of its report, with one of three outcomes: [`Delivery`].
//! [`Producer::supervise`] keeps the producer usable, and says why it is not.

mod context;
mod delivery;
pub(crate) mod source;

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fluxo_core::{kit::health::Condition, settings::KafkaSettings};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, PurgeConfig, ThreadedProducer},
};

use self::context::{Context, Report, State};
pub(crate) use self::delivery::Delivery;
use crate::trace::{self, Trace};

/// How long Kafka may take to say what it knows of the topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a producer that can send is looked after, and one that cannot.
const CHECK_READY: Duration = Duration::from_secs(10);
const CHECK_UNREADY: Duration = Duration::from_millis(100);

/// Sends records to one topic. Cloned, it is the same one.
#[derive(Clone)]
pub(crate) struct Producer(Arc<Shared>);

struct Shared {
    config: ClientConfig,
    brokers: String,
    topic: String,
    /// Replaced after a fatal error.
    current: RwLock<Current>,
    /// The last check found that records can be sent.
    is_ready: AtomicBool,
}

struct Current {
    native: ThreadedProducer<Context>,
    state: Arc<State>,
}

impl Producer {
    /// Starts a producer. It connects by itself; an absent Kafka is no error here.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(crate) fn start(
        settings: &KafkaSettings,
        delivery_timeout: Duration,
        in_flight_records: u32,
        in_flight_bytes: u32,
    ) -> anyhow::Result<Self> {
        let config = config(settings, delivery_timeout, in_flight_records, in_flight_bytes)?;
        let current = RwLock::new(Current::start(&config)?);
        Ok(Self(Arc::new(Shared {
            current,
            config,
            brokers: settings.kafka_bootstrap_servers.clone(),
            topic: settings.kafka_topic.clone(),
            is_ready: AtomicBool::new(false),
        })))
    }

    /// Whether a record that is sent now is likely to arrive.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.is_ready.load(Relaxed) && self.current().state.is_connected.load(Relaxed)
    }

    /// Hands a record over. `report` is called once, now or later, on any thread.
    pub(crate) fn send(
        &self,
        key: &str,
        value: &[u8],
        trace: &Trace,
        report: Box<dyn FnOnce(Delivery) + Send + Sync>,
    ) {
        let mut record =
            BaseRecord::with_opaque_to(&self.0.topic, Box::new(Report(report))).key(key).payload(value);
        record.headers = headers(trace);
        let handed_over = self.current().native.send(record);
        if let Err((error, record)) = handed_over {
            tracing::debug!(%error, "a record was not taken by the producer");
            (record.delivery_opaque.0)(Delivery::NotPersisted);
        }
    }

    /// Keeps the producer usable and says through `condition` whether it is. Never ends.
    pub(crate) async fn supervise(&self, condition: &Condition) {
        loop {
            let checked = self.check().await;
            self.0.is_ready.store(checked.is_ok(), Relaxed);
            let pause = match checked {
                Ok(()) => {
                    condition.holds();
                    CHECK_READY
                }
                Err(reason) => {
                    condition.fails(reason);
                    CHECK_UNREADY
                }
            };
            let state = self.current().state.clone();
            // A timeout is as good as a change: both lead to the next check.
            let _ = tokio::time::timeout(pause, state.changed.notified()).await;
        }
    }

    /// Gives up what was not acknowledged: its reports come at once.
    pub(crate) fn give_up(&self) {
        self.current().native.purge(PurgeConfig::default().queue().inflight());
    }

    /// Waits until every record has its report, at most so long; then ends the producer.
    pub(crate) async fn end(self, timeout: Duration) {
        let ended = tokio::task::spawn_blocking(move || {
            let flushed = self.current().native.flush(timeout);
            drop(self);
            flushed
        });
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "records were given up that Kafka had not acknowledged");
        }
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records can be sent; else why not.
    async fn check(&self) -> Result<(), String> {
        let Shared { brokers, topic, .. } = &*self.0;
        let state = self.current().state.clone();
        let fatal = self.current().native.client().fatal_error();
        if let Some((_, reason)) = fatal {
            self.replace().await.map_err(|error| format!("the producer cannot start again: {error}"))?;
            return Err(format!("the producer starts again after a fatal error: {reason}"));
        }
        if !state.is_connected.load(Relaxed) {
            let reason = state.last_error().unwrap_or_else(|| "still connecting".into());
            return Err(format!("no broker of {brokers} can be reached: {reason}"));
        }
        // Kafka makes the partitions' leaders known, and librdkafka keeps them: the first record need not wait.
        self.topic_exists().await.map_err(|error| match error {
            RDKafkaErrorCode::UnknownTopicOrPartition => format!("the topic {topic} does not exist"),
            error => format!("the topic {topic} cannot be used: {error}"),
        })?;
        if !state.has_id.load(Relaxed) {
            return Err(format!("waiting for a producer id from {brokers}"));
        }
        Ok(())
    }

    async fn topic_exists(&self) -> Result<(), RDKafkaErrorCode> {
        let producer = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let topic = producer.0.topic.as_str();
            let metadata = producer.current().native.client().fetch_metadata(Some(topic), METADATA_TIMEOUT);
            let metadata = metadata.map_err(|error| code(&error))?;
            let topic = metadata.topics().iter().find(|found| found.name() == topic);
            match topic.map(|topic| (topic.error(), topic.partitions().len())) {
                Some((Some(error), _)) => Err(error.into()),
                Some((None, 1..)) => Ok(()),
                Some((None, 0)) | None => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
            }
        });
        asked.await.unwrap_or(Err(RDKafkaErrorCode::Fail))
    }

    /// Starts another producer in place of one that can never send again.
    async fn replace(&self) -> Result<(), KafkaError> {
        let producer = self.clone();
        let replaced = tokio::task::spawn_blocking(move || {
            let new = Current::start(&producer.0.config)?;
            let old = std::mem::replace(
                &mut *producer.0.current.write().unwrap_or_else(PoisonError::into_inner),
                new,
            );
            // It reports the records that it still had, and ends its thread: this takes a while.
            drop(old);
            Ok(())
        });
        replaced.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl Current {
    fn start(config: &ClientConfig) -> Result<Self, KafkaError> {
        let state = Arc::new(State::default());
        let native = config.create_with_context(Context(state.clone()))?;
        Ok(Self { native, state })
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

fn headers(trace: &Trace) -> Option<OwnedHeaders> {
    let parent = trace.parent.as_deref()?;
    let headers =
        OwnedHeaders::new_with_capacity(2).insert(Header { key: trace::PARENT, value: Some(parent) });
    Some(match &trace.state {
        Some(state) => headers.insert(Header { key: trace::STATE, value: Some(state.as_str()) }),
        None => headers,
    })
}

/// Every property that matters is written here, whatever librdkafka's default is.
fn config(
    settings: &KafkaSettings,
    delivery_timeout: Duration,
    in_flight_records: u32,
    in_flight_bytes: u32,
) -> anyhow::Result<ClientConfig> {
    let mut config = fluxo_kafka::client_config(settings)?;
    // A request is tried again within the time that its records have: idempotence makes that safe.
    let request_timeout = delivery_timeout.checked_div(3).unwrap_or(delivery_timeout);
    let own = [
        ("client.id", "fluxo-api".to_owned()),
        // "Accepted" means that all in-sync replicas have it, once and in order.
        ("acks", "all".into()),
        ("enable.idempotence", "true".into()),
        ("max.in.flight.requests.per.connection", "5".into()),
        ("message.timeout.ms", delivery_timeout.as_millis().to_string()),
        ("request.timeout.ms", request_timeout.as_millis().to_string()),
        ("socket.timeout.ms", request_timeout.as_millis().max(1_000).to_string()),
        // Java clients put the same key into the same partition.
        ("partitioner", "murmur2_random".into()),
        // A misspelt topic must not come into being, with whatever the broker's defaults are.
        ("allow.auto.create.topics", "false".into()),
        ("linger.ms", "1".into()),
        ("compression.codec", "lz4".into()),
        ("socket.nagle.disable", "true".into()),
        // Admission refuses long before librdkafka would.
        ("queue.buffering.max.messages", in_flight_records.saturating_mul(2).to_string()),
        ("queue.buffering.max.kbytes", (in_flight_bytes / 1024).saturating_mul(4).to_string()),
        // The leaders of partitions are all of the brokers: be connected before the first record needs it.
        ("enable.sparse.connections", "false".into()),
        // By statistics alone librdkafka tells that a broker is back, and that the producer has its id.
        ("statistics.interval.ms", "250".into()),
    ];
    config.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(config)
}

#[cfg(test)]
mod tests;
