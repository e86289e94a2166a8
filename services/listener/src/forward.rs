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
    quarantine::{Backlog, Entry, Place, Share},
    record::RawRecord,
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
pub(crate) const PAGE: u64 = 256;
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

/// How far forwarding came.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Rows whose records the dead-letter topic has, and which are noted.
    pub(crate) forwarded: Vec<Place>,
    /// Rows that cannot be forwarded as they are.
    pub(crate) refused: Vec<(Place, Refusal)>,
    /// Why it came no further.
    pub(crate) interrupted: Option<Interrupted>,
}

/// Why a row cannot be forwarded as it is: the topic does not take its record, or it is none that Fluxo wrote.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) error: String,
}

/// Why a row was not forwarded.
#[derive(Debug)]
enum Left {
    Gone,
    Refused(Refusal),
    Interrupted(Interrupted),
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
            let progress = self.sender.forward(&self.store, &due, || shutdown.is_draining()).await?;
            self.note(&progress, resting);
            if let Some(interrupted) = progress.interrupted {
                return Err(interrupted);
            }
        }
        Ok(())
    }

    fn note(&self, progress: &Progress, resting: &mut Resting) {
        for place in &progress.forwarded {
            self.metrics.forwarded();
            resting.forget(place);
        }
        for (place, Refusal { reason, error }) in &progress.refused {
            self.metrics.not_forwarded(reason);
            tracing::error!(
                kafka.topic_id = place.topic_id.as_str(),
                kafka.partition = place.position.partition,
                kafka.offset = place.position.offset,
                error,
                "a record in quarantine cannot be forwarded; it is tried again later"
            );
            resting.rest(place.clone(), Instant::now());
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

    /// Forwards rows, in their order, as long as Kafka takes them and `ends` does not say otherwise, and notes those that
    /// the dead-letter topic has.
    ///
    /// # Errors
    /// When nothing was begun, or what was forwarded could not be noted: it is forwarded again, then.
    pub(crate) async fn forward(
        &mut self,
        store: &Store,
        places: &[Place],
        ends: impl Fn() -> bool + Send + Sync,
    ) -> Result<Progress, Interrupted> {
        let mut progress = Progress::default();
        if places.is_empty() {
            return Ok(progress);
        }
        let ready = self.ready().await?;
        let failed = AtomicBool::new(false);
        let mut sent = std::pin::pin!(self.send(store, places, ready, || failed.load(Relaxed) || ends()));
        while let Some((place, sent)) = sent.next().await {
            match sent {
                Ok(()) => progress.forwarded.push(place.clone()),
                Err(Left::Gone) => {}
                Err(Left::Refused(refusal)) => progress.refused.push((place.clone(), refusal)),
                Err(Left::Interrupted(interrupted)) => {
                    failed.store(true, Relaxed);
                    progress.interrupted = Some(interrupted);
                }
            }
        }
        store.note_forwarded(&progress.forwarded, Timestamp::now()).await?;
        Ok(progress)
    }

    /// Reads rows one after the other, hands each over, and tells what became of it, in their order.
    fn send<'s>(
        &'s self,
        store: &'s Store,
        places: &'s [Place],
        (producer, partitions): (Producer, i32),
        ends: impl Fn() -> bool + Send + 's,
    ) -> impl Stream<Item = (&'s Place, Result<(), Left>)> + 's {
        stream::iter(places)
            .take_while(move |_| std::future::ready(!ends()))
            .then(move |place| async move { (place, read(store, place).await) })
            .map(move |(place, read)| {
                // In the partition of its number, where there is one: who looks for it looks there.
                let partition = place.position.partition.rem_euclid(partitions);
                // Handed over here, not when it is awaited: so the order is that of the rows.
                let handed_over = read
                    .map(|(entry, raw)| producer.send(&letter(&entry, raw, &self.group), Some(partition)));
                async move {
                    let sent = match handed_over {
                        Ok(acknowledged) => acknowledged.await.map(drop).map_err(Left::from),
                        Err(left) => Err(left),
                    };
                    (place, sent)
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

async fn read(store: &Store, place: &Place) -> Result<(Entry, RawRecord), Left> {
    match store.quarantined(place).await {
        Ok(found) => found.ok_or(Left::Gone),
        Err(error @ Error::Foreign { .. }) => Err(Left::refused("foreign", error.to_string())),
        Err(error) => Err(Left::Interrupted(Interrupted::Database(error))),
    }
}

impl Left {
    const fn refused(reason: &'static str, error: String) -> Self {
        Self::Refused(Refusal { reason, error })
    }
}

impl From<NotSent> for Left {
    fn from(not_sent: NotSent) -> Self {
        match not_sent {
            NotSent::TooLarge(error) => Self::refused("too_large", error),
            NotSent::Refused(error) => Self::refused("refused", error),
            NotSent::Away(reason) => Self::Interrupted(Interrupted::Kafka(reason)),
        }
    }
}
