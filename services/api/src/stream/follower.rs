//! One follower: from where it was, through its own reader if need be, to what all are given.

use std::{sync::Arc, time::Duration};

use tokio::sync::{broadcast, mpsc};

use super::{
    From, Loss, Place, RING, Refusal, Streams, Subscription,
    event::{Content, Record},
    position::{Log, Positions},
};

/// How long Kafka is left alone when it did not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Whoever reads the topic, and where it is.
pub(crate) struct Follower {
    streams: Arc<Streams>,
    at: Positions,
    feed: Feed,
    /// What was lost and not told yet.
    losses: Vec<Loss>,
    _place: Place,
}

/// What a follower is told.
#[derive(Debug)]
pub(crate) enum Item {
    /// An accepted transaction, in JSON.
    Event(Arc<Record>),
    /// What it is not told, and why.
    Gap(Vec<Loss>),
}

/// Where records come from.
enum Feed {
    /// It must be found out.
    Unknown,
    /// From a reader of its own, until it has reached what all are given.
    Own { records: mpsc::Receiver<Arc<Record>>, until: Subscription, _place: Place },
    /// From the shared reader.
    Shared(broadcast::Receiver<Arc<Record>>),
}

impl Streams {
    /// Begins to follow.
    ///
    /// # Errors
    /// When there is no room, or Kafka does not answer.
    pub(crate) async fn follow(self: &Arc<Self>, from: From) -> Result<Follower, Refusal> {
        let place = self.places.enter()?;
        let follower =
            |at, feed| Follower { streams: self.clone(), at, feed, losses: Vec::new(), _place: place };
        if from == From::Now {
            let Subscription { at, ring } = self.subscribe().await?;
            return Ok(follower(at, Feed::Shared(ring)));
        }
        let log = self.log().await?;
        let at = if let From::After(at) = from { at } else { log.starts() };
        let mut follower = follower(at, Feed::Unknown);
        follower.resume(&log).await?;
        Ok(follower)
    }
}

impl Follower {
    /// After everything that it was told.
    pub(crate) fn at(&self) -> &Positions {
        &self.at
    }

    /// Whether it can be told something without asking Kafka first.
    pub(crate) fn is_fed(&self) -> bool {
        !matches!(self.feed, Feed::Unknown)
    }

    /// What it is told next. It may be dropped before that comes, and nothing is lost.
    ///
    /// # Errors
    /// When it must catch up and there is no room for that: it can come again.
    pub(crate) async fn next(&mut self) -> Result<Item, Refusal> {
        loop {
            if !self.losses.is_empty() {
                self.streams.metrics.stream_gaps.inc();
                return Ok(Item::Gap(std::mem::take(&mut self.losses)));
            }
            let record = match &mut self.feed {
                Feed::Unknown => {
                    self.find_feed().await?;
                    continue;
                }
                Feed::Own { records, .. } => records.recv().await,
                // Too slow, or the reader has ended: in both cases it has to look where it stands.
                Feed::Shared(ring) => ring.recv().await.ok(),
            };
            let Some(record) = record else {
                self.feed = Feed::Unknown;
                continue;
            };
            if self.take(&record) {
                return Ok(Item::Event(record));
            }
        }
    }

    async fn find_feed(&mut self) -> Result<(), Refusal> {
        let found = match self.streams.clone().log().await {
            Ok(log) => self.resume(&log).await,
            Err(refusal) => Err(refusal),
        };
        if found == Err(Refusal::Away) {
            tokio::time::sleep(RETRY).await;
            return Ok(());
        }
        found
    }

    /// Goes on where it is, as far as the log has that.
    async fn resume(&mut self, log: &Log) -> Result<(), Refusal> {
        self.losses.extend(self.at.settle(log));
        let until = self.streams.subscribe().await?;
        if !self.at.is_of(&until.at) {
            // The shared reader will find that the topic is another one, or has more partitions.
            return Err(Refusal::Away);
        }
        self.feed = if self.at.reached(&until.at) {
            Feed::Shared(until.ring)
        } else {
            let place = self.streams.catch_ups.enter()?;
            Feed::Own { records: self.streams.catch_up(&self.at)?, until, _place: place }
        };
        Ok(())
    }

    /// Moves past a record. Whether it is told.
    fn take(&mut self, record: &Record) -> bool {
        let Record { partition, offset: from, .. } = *record;
        let Some(next) = self.at.next.get_mut(partition).filter(|next| **next <= from) else { return false };
        *next = from.saturating_add(1);
        if record.content == Content::Newer {
            self.losses.push(Loss::NewerVersion { partition, from, to: *next });
        }
        self.join_others();
        matches!(record.content, Content::Accepted(_))
    }

    /// Leaves its own reader once it has reached what all are given.
    fn join_others(&mut self) {
        let Feed::Own { until, .. } = &mut self.feed else { return };
        if !self.at.reached(&until.at) {
            return;
        }
        if until.ring.len() > RING {
            // The ring has gone on past it meanwhile: the same again, with what is given out from now on.
            if let Some(later) = self.streams.live.try_lock().ok().and_then(|live| live.subscribe()) {
                *until = later;
                return;
            }
        }
        if let Feed::Own { until, .. } = std::mem::replace(&mut self.feed, Feed::Unknown) {
            self.feed = Feed::Shared(until.ring);
        }
    }
}
