//! Reading the topic without a group: what it has, and its records from a position on.
//!
//! Nothing is committed, and no offset is ever chosen for a reader: a position that Kafka does not have ends it.

use std::{
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use fluxo_core::settings::KafkaSettings;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use crate::stream::position::{Log, Positions};

/// How long Kafka may take to answer a question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a reader without records looks whether it is still wanted.
const IDLE: Duration = Duration::from_millis(100);
/// How often a reader asks whether the topic is still the one that it reads.
const CONFIRM: Duration = Duration::from_secs(2);

/// The topic, to be read. Cloned, it is the same one.
#[derive(Clone)]
pub(crate) struct Source(Arc<Shared>);

struct Shared {
    config: ClientConfig,
    topic: String,
    /// Asks questions only.
    asking: BaseConsumer<Quiet>,
}

/// A record, as its reader is given it.
pub(crate) struct Read<'a> {
    pub(crate) partition: usize,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// Leaves the state of the connection to the producer, which tells it.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Quiet {}

impl Source {
    /// Makes it. An absent Kafka is no error here.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(crate) fn new(settings: &KafkaSettings) -> anyhow::Result<Self> {
        let config = config(settings)?;
        let asking = config.create_with_context(Quiet)?;
        Ok(Self(Arc::new(Shared { config, topic: settings.kafka_topic.clone(), asking })))
    }

    /// What the topic has now.
    ///
    /// # Errors
    /// When Kafka does not say.
    pub(crate) async fn log(&self) -> anyhow::Result<Log> {
        let source = self.clone();
        tokio::task::spawn_blocking(move || source.ask()).await?
    }

    fn ask(&self) -> anyhow::Result<Log> {
        let Shared { topic, asking, .. } = &*self.0;
        let described = fluxo_kafka::describe_topic(asking.client(), topic, TIMEOUT)?;
        let mut log = Log { topic: described.0.clone(), partitions: Vec::with_capacity(described.1) };
        for partition in 0..described.1 {
            let partition = i32::try_from(partition)?;
            let (start, end) = asking.fetch_watermarks(topic, partition, TIMEOUT)?;
            log.partitions.push(start..end);
        }
        let again = fluxo_kafka::describe_topic(asking.client(), topic, TIMEOUT)?;
        ensure!(again == described, "the topic changed meanwhile");
        Ok(log)
    }

    /// Reads from a position on, in a thread of its own. `take` is given each record, and nothing when there is none
    /// for a moment; it is dropped when it breaks off, when the position is none that Kafka has, and when the topic is
    /// not the one of the position any more.
    ///
    /// # Errors
    /// When the thread cannot start.
    pub(crate) fn read(
        &self,
        from: &Positions,
        take: impl FnMut(Option<Read<'_>>) -> ControlFlow<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (source, from) = (self.clone(), from.clone());
        let run = move || {
            if let Err(error) = source.run(&from, take) {
                tracing::debug!(error = format!("{error:#}"), "a reader of the topic has ended");
            }
        };
        thread::Builder::new().name("kafka-stream".into()).spawn(run).context("cannot start a thread")?;
        Ok(())
    }

    fn run(
        &self,
        from: &Positions,
        mut take: impl FnMut(Option<Read<'_>>) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let Shared { config, topic, .. } = &*self.0;
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
        let mut assignment = TopicPartitionList::with_capacity(from.next.len());
        for (partition, next) in from.next.iter().enumerate() {
            let partition = i32::try_from(partition)?;
            assignment.add_partition_offset(topic, partition, Offset::Offset(*next))?;
        }
        consumer.assign(&assignment)?;
        let mut confirmed = Instant::now();
        loop {
            let taken = match consumer.poll(IDLE) {
                None => take(None),
                Some(Ok(record)) => take(Some(Read {
                    partition: usize::try_from(record.partition())?,
                    offset: record.offset(),
                    key: record.key(),
                    value: record.payload(),
                })),
                Some(Err(error)) if is_the_end(&error) => return Err(error.into()),
                // It passes by itself; a group that nobody may look for is not needed either.
                Some(Err(error)) => {
                    tracing::debug!(%error, "a reader of the topic was told");
                    take(None)
                }
            };
            if taken.is_break() {
                return Ok(());
            }
            if confirmed.elapsed() > CONFIRM {
                self.confirm(&consumer, from)?;
                confirmed = Instant::now();
            }
        }
    }

    /// Whether the topic is still the one of a position. When Kafka does not say, it is taken to be.
    fn confirm(&self, consumer: &BaseConsumer<Quiet>, from: &Positions) -> anyhow::Result<()> {
        match fluxo_kafka::describe_topic(consumer.client(), &self.0.topic, TIMEOUT) {
            Ok((topic, partitions)) => {
                ensure!(topic == from.topic, "the topic was made anew");
                ensure!(partitions == from.next.len(), "the topic has {partitions} partitions");
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the topic cannot be confirmed"),
        }
        Ok(())
    }
}

/// Whether a reader cannot go on from where it is.
fn is_the_end(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::Fatal
        )
    )
}

fn config(settings: &KafkaSettings) -> anyhow::Result<ClientConfig> {
    let mut config = fluxo_kafka::client_config(settings)?;
    let own = [
        ("client.id", "fluxo-api-stream"),
        // librdkafka assigns partitions to members of a group only. This one never joins, and has nothing stored.
        ("group.id", "fluxo-api-stream"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("allow.auto.create.topics", "false"),
        ("socket.nagle.disable", "true"),
        // What a reader holds that nobody has taken yet.
        ("queued.max.messages.kbytes", "1024"),
        ("queued.min.messages", "1000"),
        ("fetch.max.bytes", "1048576"),
        ("fetch.message.max.bytes", "262144"),
    ];
    config.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(config)
}
