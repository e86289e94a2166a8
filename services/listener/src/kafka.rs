//! The only place of the listener that knows rdkafka: a thread that polls, and what it is told and tells.
//!
//! librdkafka calls back during a poll and must never wait for SQL. So the group's assignment is acknowledged at once
//! and empty; a partition is added to it when [`Command::Fetch`] brings the offset that the database holds. Until then
//! nothing of it is fetched, and the listener stays in the group however long that takes.

mod context;
mod identity;
mod poll;
mod producer;
mod range;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use fluxo_core::{kit::health::Condition, settings::KafkaSettings};
use fluxo_store::record::RawRecord;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::sync::{Semaphore, mpsc as tokio_mpsc};

use crate::{settings::GroupProtocol, sink::Epoch};
use context::Context;
pub use identity::{Identity, Oracle};
use poll::Poller;
pub use producer::{NotSent, Producer};
pub use range::{Range, offsets_at};

/// How long a question to Kafka may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the consumer is told.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Fetch a partition from an offset, instead of whatever was fetched of it before.
    Fetch {
        /// The partition.
        partition: i32,
        /// The offset of its next record.
        offset: i64,
        /// The name of this fetch.
        epoch: Epoch,
    },
    /// Fetch no more of a partition.
    Release(i32),
    /// Tell lag tools that a partition is recorded up to an offset.
    Committed {
        /// The partition.
        partition: i32,
        /// The offset of its next record.
        offset: i64,
    },
    /// Leave the group and end.
    Close,
}

/// What the consumer tells a writer, in order.
#[derive(Debug)]
pub enum Message {
    /// The group gave this listener a partition.
    Assigned(i32),
    /// The group took a partition away.
    Revoked(i32),
    /// A record.
    Record {
        /// The fetch that it came from.
        epoch: Epoch,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Its bytes.
        raw: RawRecord,
    },
    /// A partition can no longer be fetched from where it is.
    Failed {
        /// The partition.
        partition: i32,
        /// The fetch that failed.
        epoch: Epoch,
    },
    /// The consumer has ended and cannot be used any more.
    Dead(String),
}

/// The way from the consumer to one writer. What is in it is bounded by bytes: whoever takes a record out gives its
/// size back to `room` when it holds it no longer.
#[derive(Clone, Debug)]
pub struct Intake {
    messages: tokio_mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    capacity: u32,
}

impl Intake {
    /// A way that holds so many bytes, and its end.
    pub fn new(capacity: u32) -> (Self, tokio_mpsc::UnboundedReceiver<Message>, Arc<Semaphore>) {
        let (sender, receiver) = tokio_mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(capacity as usize));
        (Self { messages: sender, room: Arc::clone(&room), capacity }, receiver, room)
    }
}

/// How many bytes of room a record takes.
pub fn room_of(raw: &RawRecord, capacity: u32) -> u32 {
    // One that is larger than all the room must still pass, alone.
    u32::try_from(raw.size()).unwrap_or(u32::MAX).min(capacity)
}

/// A member of the group.
pub struct Consumer {
    commands: mpsc::Sender<Command>,
    thread: Option<thread::JoinHandle<()>>,
    client: Arc<BaseConsumer<Context>>,
}

/// What makes it a member of its group.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The protocol of the group.
    pub protocol: GroupProtocol,
    /// How long the group waits for a member that is silent.
    pub session_timeout: Duration,
}

impl Consumer {
    /// Joins the group. A record goes to the intake at its partition's number modulo the number of intakes.
    ///
    /// # Errors
    /// When the settings cannot be used. Brokers that are away are no error here.
    pub fn join(
        kafka: &KafkaSettings,
        membership: &Membership,
        intakes: Vec<Intake>,
        condition: Condition,
    ) -> anyhow::Result<Self> {
        let context = Context::new(condition);
        let client: BaseConsumer<Context> = config(kafka, membership)?
            .create_with_context(context.clone())
            .context("the settings of Kafka cannot be used")?;
        client.subscribe(&[&kafka.kafka_topic]).context("cannot subscribe")?;
        let client = Arc::new(client);
        let (commands, told) = mpsc::channel();
        let poller = Poller::new(Arc::clone(&client), context, kafka.kafka_topic.clone(), intakes);
        let thread = thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || poller.run(&told))
            .context("cannot start the thread that polls")?;
        Ok(Self { commands, thread: Some(thread), client })
    }

    /// Where commands go.
    pub fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// The first offset and the one after the last of a partition. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        Ok(self.client.fetch_watermarks(topic, partition, TIMEOUT)?)
    }

    /// Tells what the topic is, on this connection. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer, or there is no such topic.
    pub fn identity(&self, topic: &str) -> anyhow::Result<Identity> {
        identity::describe(self.client.client(), topic, TIMEOUT)
    }

    /// Leaves the group. Blocks until it has, or ten seconds have passed.
    pub fn close(mut self) {
        let _ = self.commands.send(Command::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client that is in no group, for questions.
///
/// # Errors
/// When the settings cannot be used.
pub fn outsider(kafka: &KafkaSettings) -> anyhow::Result<BaseConsumer> {
    outsider_config(kafka)?.create().context("the settings of Kafka cannot be used")
}

fn outsider_config(kafka: &KafkaSettings) -> anyhow::Result<ClientConfig> {
    let mut config = fluxo_kafka::client_config(kafka)?;
    config.set("group.id", "fluxo-outsider").set("enable.auto.commit", "false");
    Ok(config)
}

/// Tells what a topic is, asked by a client that is in no group. Blocks.
///
/// # Errors
/// When Kafka does not answer, or there is no such topic.
pub fn describe(client: &BaseConsumer, topic: &str) -> anyhow::Result<Identity> {
    identity::describe(client.client(), topic, TIMEOUT)
}

/// The first offset of each partition of a topic, and the one after its last. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub fn logs(
    client: &BaseConsumer,
    topic: &str,
    partitions: usize,
) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
    let partitions = i32::try_from(partitions).context("too many partitions")?;
    let log = |partition| Ok((partition, client.fetch_watermarks(topic, partition, TIMEOUT)?));
    (0..partitions).map(log).collect()
}

/// The properties of the consumer. Every default that a guarantee rests on is set.
fn config(kafka: &KafkaSettings, membership: &Membership) -> anyhow::Result<ClientConfig> {
    let mut config = fluxo_kafka::client_config(kafka)?;
    config
        .set("client.id", "fluxo-listener")
        .set("group.id", &membership.group)
        // Offsets are the database's: the group's are a copy for lag tools, committed by hand after the rows.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true")
        // A poll is never further apart than a moment; the default is said because leaving the group rests on it.
        .set("max.poll.interval.ms", "300000")
        // What is fetched ahead is bounded in memory, and fetched again soon after there is room.
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.max.bytes", "1048576")
        .set("fetch.message.max.bytes", "262144")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.min.bytes", "1")
        .set("topic.metadata.refresh.interval.ms", "10000");
    match membership.protocol {
        GroupProtocol::Classic => {
            config
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", membership.session_timeout.as_millis().to_string())
                .set("heartbeat.interval.ms", (membership.session_timeout.as_millis() / 4).to_string());
        }
        // The broker decides the rest: setting it here would be an error.
        GroupProtocol::Consumer => {
            config.set("group.protocol", "consumer");
        }
    }
    Ok(config)
}
