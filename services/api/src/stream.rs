//! Followers of the topic: whoever reads accepted transactions as they come.
//!
//! One reader, shared by all, gives out what is new through a ring of bounded length. A follower that is behind it, since it
//! comes back after a while or is slow, has a reader of its own until it has caught up; there are few of those. So a
//! follower holds no more than a place in the ring, or what its own reader has ahead of it, however slow it is.

mod event;
mod follower;
pub(crate) mod position;

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use self::{event::Record, position::Log};
pub(crate) use self::{
    event::{Content, Event},
    follower::{Follower, Item},
    position::{Loss, Positions},
};
use crate::{
    kafka::source::{Read, Source},
    metrics::Metrics,
};

/// How many of the latest records the ring has.
const RING: usize = 1_024;
/// How many records the reader of one follower is ahead of it.
const AHEAD: usize = 256;

/// Where a follower begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// With what comes next.
    Now,
    /// With the first record that Kafka has.
    Start,
    /// Where it was before.
    After(Positions),
}

/// Why there is no stream, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Kafka does not answer.
    #[error("kafka does not answer")]
    Away,
    /// There are as many followers as there may be, or as many that catch up.
    #[error("there is no room")]
    Full,
}

/// All followers.
pub(crate) struct Streams {
    source: Source,
    /// Locked while the shared reader is started.
    live: tokio::sync::Mutex<Live>,
    places: Room,
    catch_ups: Room,
    ending: CancellationToken,
    metrics: Arc<Metrics>,
}

/// Room for so many, of whom a metric tells the number.
struct Room {
    free: Arc<Semaphore>,
    taken: Gauge,
}

/// A place in a room.
struct Place {
    _permit: OwnedSemaphorePermit,
    taken: Gauge,
}

/// What the shared reader gives out, while there is one.
#[derive(Clone, Default)]
struct Live(Arc<Mutex<Option<Channel>>>);

struct Channel {
    /// After the last record that was given out.
    at: Positions,
    ring: broadcast::Sender<Arc<Record>>,
}

/// What a follower is given from a position on.
struct Subscription {
    at: Positions,
    ring: broadcast::Receiver<Arc<Record>>,
}

impl Streams {
    /// Room for so many followers, of whom so many catch up at once.
    pub(crate) fn new(source: Source, followers: u32, catch_ups: u32, metrics: Arc<Metrics>) -> Self {
        Self {
            source,
            live: tokio::sync::Mutex::default(),
            places: Room::new(followers, metrics.stream_followers.clone()),
            catch_ups: Room::new(catch_ups, metrics.stream_catch_ups.clone()),
            ending: CancellationToken::new(),
            metrics,
        }
    }

    /// Ends all streams; their clients go on elsewhere.
    pub(crate) fn end(&self) {
        self.ending.cancel();
    }

    /// Completes when all streams end.
    pub(crate) async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// What is given out from now on, by the shared reader. It is started for the first follower.
    async fn subscribe(&self) -> Result<Subscription, Refusal> {
        let mut live = self.live.lock().await;
        if let Some(subscription) = live.subscribe() {
            return Ok(subscription);
        }
        let log = self.log().await?;
        let (started, subscription) = Live::start(&self.source, log.ends()).map_err(|error| away(&error))?;
        *live = started;
        Ok(subscription)
    }

    async fn log(&self) -> Result<Log, Refusal> {
        self.source.log().await.map_err(|error| away(&error))
    }

    /// Starts a reader from a position on, for one follower.
    fn catch_up(&self, from: &Positions) -> Result<mpsc::Receiver<Arc<Record>>, Refusal> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let take = move |read: Option<Read<'_>>| {
            let sent = match read {
                Some(read) => sender.blocking_send(Arc::new(Record::of(&read))).is_ok(),
                None => !sender.is_closed(),
            };
            if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.source.read(from, take).map_err(|error| away(&error))?;
        Ok(receiver)
    }
}

impl Live {
    /// Starts the shared reader, and is its first subscriber.
    fn start(source: &Source, at: Positions) -> anyhow::Result<(Self, Subscription)> {
        let (sender, ring) = broadcast::channel(RING);
        let live = Self(Arc::new(Mutex::new(Some(Channel { at: at.clone(), ring: sender }))));
        let ending = Ending(live.clone());
        source.read(&at, move |read| ending.0.give_out(read.as_ref()))?;
        Ok((live, Subscription { at, ring }))
    }

    /// `None` when there is no reader.
    fn subscribe(&self) -> Option<Subscription> {
        let channel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Channel { at, ring } = channel.as_ref()?;
        Some(Subscription { at: at.clone(), ring: ring.subscribe() })
    }

    /// Gives a record to everybody, or looks whether there is still anybody.
    fn give_out(&self, read: Option<&Read<'_>>) -> ControlFlow<()> {
        let record = read.map(|read| Arc::new(Record::of(read)));
        let mut channel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Channel { at, ring }) = channel.as_mut() else { return ControlFlow::Break(()) };
        if let Some(record) = record {
            if let Some(next) = at.next.get_mut(record.partition) {
                *next = record.offset.saturating_add(1);
            }
            // It fails when nobody is there, which is looked at next.
            let _ = ring.send(record);
        }
        if ring.receiver_count() > 0 {
            return ControlFlow::Continue(());
        }
        // Under the lock: nobody subscribes to a reader that has decided to end.
        *channel = None;
        ControlFlow::Break(())
    }
}

/// Tells all followers that the shared reader has ended, whatever ended it.
struct Ending(Live);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Record {
    fn of(read: &Read<'_>) -> Self {
        let content = Content::of(read.key, read.value);
        Self { partition: read.partition, offset: read.offset, content }
    }
}

impl Room {
    fn new(limit: u32, taken: Gauge) -> Self {
        Self { free: Arc::new(Semaphore::new(limit as usize)), taken }
    }

    fn enter(&self) -> Result<Place, Refusal> {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
        self.taken.inc();
        Ok(Place { _permit: permit, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.dec();
    }
}

fn away(error: &anyhow::Error) -> Refusal {
    tracing::debug!(error = format!("{error:#}"), "the topic cannot be read");
    Refusal::Away
}
