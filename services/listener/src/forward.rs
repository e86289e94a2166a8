//! Fills the dead-letter topic from `quarantine`, beside the sinks and without holding them up.
//!
//! At least once: a row is noted as forwarded after all in-sync replicas have its record, so a process that ends in
//! between leaves it to be forwarded again. Each listener forwards the rows of the partitions that the group gave it;
//! for a moment two may forward the same row. Who reads the topic tells a record by
//! [`TOPIC_ID`](crate::dead_letter::TOPIC_ID), partition and offset.

mod resting;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fluxo_core::{Timestamp, kit::shutdown::Shutdown, settings::KafkaSettings};
use fluxo_store::{
    Error, Store,
    quarantine::{Backlog, Place, Share},
};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::Notify;

use crate::{
    chain,
    dead_letter::letter,
    kafka::{NotSent, Producer},
    metrics::Metrics,
};
use resting::{Resting, jittered, longer};

/// How often the table is asked, though nobody has told of a new row: another listener may have left some.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How many rows are asked for, and noted, at once.
const PAGE: u64 = 256;
/// How many records may be on their way: each may be as large as a record of the topic.
const IN_FLIGHT: usize = 16;

/// The partitions that a listener has, and so the rows that it forwards.
#[derive(Debug, Default)]
pub(crate) struct Duty {
    held: Mutex<Held>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Held {
    held: BTreeSet<i32>,
    /// How many partitions the topic has; 0 until it is known.
    partitions: i32,
}

/// Forwards the rows of the listener's share until it is told to end.
pub(crate) struct Forwarder {
    pub(crate) store: Store,
    pub(crate) topic: String,
    pub(crate) sender: Sender,
    pub(crate) duty: Arc<Duty>,
    pub(crate) metrics: Metrics,
}

/// Puts rows on the dead-letter topic.
pub(crate) struct Sender {
    kafka: KafkaSettings,
    topic: String,
    group: String,
    /// Made when it is first needed, and again after an error that it cannot recover from.
    producer: Option<Producer>,
}

/// Why forwarding pauses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    #[error("the database failed")]
    Database(#[from] Error),
    #[error("the dead-letter topic cannot be filled: {0}")]
    Kafka(String),
}

/// What became of a row.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The dead-letter topic has it.
    Forwarded,
    /// There is no such row.
    Gone,
    /// The topic does not take it, or it is none that Fluxo wrote.
    Refused { reason: &'static str, error: String },
}

impl Duty {
    pub(crate) fn assigned(&self, partition: i32) {
        self.lock().held.insert(partition);
        self.wake();
    }

    pub(crate) fn revoked(&self, partition: i32) {
        self.lock().held.remove(&partition);
    }

    /// The topic was seen to have so many partitions.
    pub(crate) fn counted(&self, partitions: usize) {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        if std::mem::replace(&mut self.lock().partitions, partitions) != partitions {
            self.wake();
        }
    }

    /// There may be new rows.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    fn share(&self, topic: &str) -> Option<Share> {
        let held = self.lock();
        (held.partitions > 0 && !held.held.is_empty()).then(|| Share {
            topic: topic.to_owned(),
            partitions: held.partitions,
            held: held.held.iter().copied().collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarder {
    /// Runs until it is told to drain and what is on its way has been acknowledged, or given up.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut resting = Resting::default();
        let mut failures = 0;
        while !shutdown.is_draining() {
            let share = self.duty.share(&self.topic);
            let passed = match &share {
                Some(share) => self.pass(share, &mut resting, &shutdown).await,
                None => Ok(()),
            };
            self.tell_backlog(share.as_ref()).await;
            let (wait, wakes) = match passed {
                Ok(()) => {
                    failures = 0;
                    (jittered(LOOK_AGAIN), true)
                }
                Err(interrupted) => {
                    self.interrupted(&interrupted);
                    failures += 1;
                    (longer(Duration::from_millis(100), Duration::from_secs(10), failures), false)
                }
            };
            tokio::select! {
                () = shutdown.draining() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.duty.woken.notified(), if wakes => {}
            }
        }
        self.sender.end().await;
    }

    /// Forwards every row of the share that is not resting, page by page: one that cannot be forwarded holds up none.
    async fn pass(
        &mut self,
        share: &Share,
        resting: &mut Resting,
        shutdown: &Shutdown,
    ) -> Result<(), Interrupted> {
        let mut after = None;
        while !shutdown.is_draining() {
            let page = self.store.unforwarded(share, after.as_ref(), PAGE).await?;
            let Some(last) = page.last().cloned() else { break };
            after = Some(last);
            let now = Instant::now();
            let due: Vec<_> = page.into_iter().filter(|place| resting.is_due(place, now)).collect();
            let (fates, interrupted) =
                self.sender.forward(&self.store, &due, || shutdown.is_draining()).await?;
            for (place, fate) in fates {
                self.note(place, &fate, resting);
            }
            interrupted?;
        }
        Ok(())
    }

    fn note(&self, place: Place, fate: &Fate, resting: &mut Resting) {
        match fate {
            Fate::Forwarded => {
                self.metrics.forwarded();
                resting.forget(&place);
            }
            Fate::Gone => resting.forget(&place),
            Fate::Refused { reason, error } => {
                self.metrics.not_forwarded(reason);
                tracing::error!(
                    kafka.topic_id = place.topic_id.as_str(),
                    kafka.partition = place.position.partition,
                    kafka.offset = place.position.offset,
                    error,
                    "a record in quarantine cannot be forwarded; it is tried again later"
                );
                resting.rest(place, Instant::now());
            }
        }
    }

    fn interrupted(&self, interrupted: &Interrupted) {
        self.metrics.not_forwarded(match interrupted {
            Interrupted::Database(_) => "database",
            Interrupted::Kafka(_) => "kafka",
        });
        tracing::warn!(error = chain(interrupted), "the dead-letter topic is not filled at the moment");
    }

    async fn tell_backlog(&self, share: Option<&Share>) {
        let Some(share) = share else { return self.metrics.backlog(&Backlog::default(), Timestamp::now()) };
        // A failure was told of already, or will be: the figures stay as they were.
        if let Ok(backlog) = self.store.backlog(share).await {
            self.metrics.backlog(&backlog, Timestamp::now());
        }
    }
}

impl Sender {
    pub(crate) fn new(kafka: &KafkaSettings, topic: &str, group: &str) -> Self {
        Self { kafka: kafka.clone(), topic: topic.to_owned(), group: group.to_owned(), producer: None }
    }

    /// Forwards rows, in their order, as long as Kafka takes them and `ends` does not say otherwise. Rows that it has are noted;
    /// the fates are those of the rows that it came to, and the second result tells why it came no further.
    ///
    /// # Errors
    /// When nothing was begun, or what was forwarded could not be noted.
    pub(crate) async fn forward(
        &mut self,
        store: &Store,
        places: &[Place],
        ends: impl Fn() -> bool + Send + Sync,
    ) -> Result<(Vec<(Place, Fate)>, Result<(), Interrupted>), Interrupted> {
        if places.is_empty() {
            return Ok((Vec::new(), Ok(())));
        }
        let (producer, partitions) = self.ready().await?;
        let failed = AtomicBool::new(false);
        let sent = self.send(store, places, (producer, partitions), || failed.load(Relaxed) || ends());
        let mut sent = std::pin::pin!(sent);
        let (mut fates, mut forwarded, mut interrupted) = (Vec::new(), Vec::new(), Ok(()));
        while let Some((place, outcome)) = sent.next().await {
            match outcome {
                Ok(fate) => {
                    if matches!(fate, Fate::Forwarded) {
                        forwarded.push(place.clone());
                    }
                    fates.push((place, fate));
                }
                Err(error) => {
                    failed.store(true, Relaxed);
                    interrupted = Err(error);
                }
            }
        }
        store.note_forwarded(&forwarded, Timestamp::now()).await?;
        Ok((fates, interrupted))
    }

    /// Reads rows one after the other, hands each over, and tells what became of it, in their order.
    fn send<'s>(
        &'s self,
        store: &'s Store,
        places: &'s [Place],
        (producer, partitions): (Producer, i32),
        ends: impl Fn() -> bool + Send + 's,
    ) -> impl Stream<Item = (Place, Result<Fate, Interrupted>)> + 's {
        stream::iter(places)
            .take_while(move |_| std::future::ready(!ends()))
            .then(move |place| async move { (place, store.quarantined(place).await) })
            .map(move |(place, read)| {
                let outcome = match read {
                    Ok(Some((entry, raw))) => {
                        // In the partition of its number, where there is one: who looks for it looks there.
                        let partition = place.position.partition.rem_euclid(partitions);
                        Ok(producer.send(&letter(&entry, raw, &self.group), Some(partition)))
                    }
                    Ok(None) => Err(Ok(Fate::Gone)),
                    Err(error @ Error::Foreign { .. }) => {
                        Err(Ok(Fate::Refused { reason: "foreign", error: error.to_string() }))
                    }
                    Err(error) => Err(Err(Interrupted::Database(error))),
                };
                async move {
                    let outcome = match outcome {
                        Ok(acknowledged) => fate(acknowledged.await),
                        Err(outcome) => outcome,
                    };
                    (place.clone(), outcome)
                }
            })
            .buffered(IN_FLIGHT)
    }

    /// A producer that can send, and how many partitions the dead-letter topic has.
    async fn ready(&mut self) -> Result<(Producer, i32), Interrupted> {
        let kafka = |error: anyhow::Error| Interrupted::Kafka(format!("{error:#}"));
        if self.producer.as_ref().is_some_and(|producer| producer.is_dead().is_some()) {
            self.end().await;
        }
        let producer = match &self.producer {
            Some(producer) => producer.clone(),
            None => Producer::new(&self.kafka, &self.topic).map_err(kafka)?,
        };
        self.producer = Some(producer.clone());
        let asked = producer.clone();
        let partitions = tokio::task::spawn_blocking(move || asked.partitions()).await;
        let partitions = partitions.map_err(|error| Interrupted::Kafka(error.to_string()))?.map_err(kafka)?;
        Ok((producer, partitions))
    }

    /// Ends the producer, which waits for a thread of its own.
    pub(crate) async fn end(&mut self) {
        let producer = self.producer.take();
        let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
    }
}

fn fate(sent: Result<fluxo_core::Position, NotSent>) -> Result<Fate, Interrupted> {
    match sent {
        Ok(_) => Ok(Fate::Forwarded),
        Err(NotSent::TooLarge(error)) => Ok(Fate::Refused { reason: "too_large", error }),
        Err(NotSent::Refused(error)) => Ok(Fate::Refused { reason: "refused", error }),
        Err(NotSent::Away(reason)) => Err(Interrupted::Kafka(reason)),
    }
}
