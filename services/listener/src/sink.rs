//! The decision part of the listener: which partition goes on where, and what is written when.
//!
//! A [`Sink`] is a state machine without I/O and without a clock. It is told [`Event`]s, and asked for [`Action`]s
//! until there is none; [`Sink::wake_at`] says when to ask again though nothing happened. There is one for each
//! writer, with partitions of its own; at most one request to the database is under way.
//!
//! Its rules, each of which a lost or doubled record would break:
//! - a partition is fetched only from an offset that the database holds;
//! - records count only if they were fetched since that offset was read ([`Epoch`]);
//! - a batch moves a partition from exactly that offset, by compare-and-set;
//! - all that it holds is of one topic: once another is found under its name, nothing of the one before counts;
//! - after any failure the offset is read again before anything else is written.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use fluxo_core::TopicId;
use fluxo_store::record::{Entry, Move, NotRecorded, Report};

use crate::disposition::{Disposition, disposition};

pub use partition::{Epoch, Partition, Stop};

mod partition;

/// How much is written at once, and how soon.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most records of one batch.
    pub batch_records: usize,
    /// How long the first record of a batch waits for others.
    pub linger: Duration,
    /// How long a stopped partition is left alone before it is looked at again.
    pub stopped_retry: Duration,
    /// How long the stored offsets are taken for granted while nothing fails. Whoever moves one by hand, or makes the
    /// topic anew, is noticed within this, though no record comes.
    pub look_again: Duration,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The group gave this listener partitions.
    Assigned(Vec<i32>),
    /// The group took partitions away.
    Revoked(Vec<i32>),
    /// A record was fetched.
    Fetched {
        /// The fetch that it came from.
        epoch: Epoch,
        /// What it says.
        record: Fetched,
    },
    /// Kafka cannot serve a partition from where it is fetched.
    FetchFailed {
        /// The partition.
        partition: i32,
        /// The fetch that failed.
        epoch: Epoch,
    },
    /// The answer to [`Action::Resolve`].
    Resolved(Result<Resolved, Unresolved>),
    /// The answer to [`Action::Write`]: how it ended, and the entries that it was given.
    Written(Result<Report, NotRecorded>, Vec<Entry>),
}

/// A fetched record.
#[derive(Debug)]
pub enum Fetched {
    /// One that becomes a row, or goes to quarantine.
    Entry(Box<Entry>),
    /// A message of a version that this build does not know.
    Newer {
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Its version.
        version: u64,
    },
}

/// Where partitions go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The topic that is there now.
    pub topic_id: TopicId,
    /// Each partition that was asked for.
    pub partitions: Vec<(i32, Resolution)>,
}

/// Where a partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// At this offset, which the database holds.
    Start(i64),
    /// Nowhere, until a person has decided.
    Stop(Stop),
}

/// Why the offsets could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Kafka is away: trying again may help.
    KafkaAway(String),
    /// The database is away: trying again may help.
    DatabaseAway(String),
    /// A person must change a setting.
    Fatal(String),
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Tell where these partitions go on.
    Resolve(Vec<i32>),
    /// Fetch a partition from an offset, instead of whatever was fetched of it before.
    Fetch {
        /// The partition.
        partition: i32,
        /// The offset of its next record.
        offset: i64,
        /// The name of this fetch.
        epoch: Epoch,
    },
    /// Fetch no more of a partition; the group still gives it to this listener.
    Release(i32),
    /// Write this batch.
    Write {
        /// The topic that its records are of.
        topic_id: TopicId,
        /// How far it moves each partition.
        moves: Vec<Move>,
        /// Its records.
        entries: Vec<Entry>,
    },
    /// Tell lag tools that a partition is recorded up to an offset.
    Committed {
        /// The partition.
        partition: i32,
        /// The offset of its next record.
        offset: i64,
    },
    /// End the process: a person must act first.
    Fail(String),
}

/// The state machine.
#[derive(Debug)]
pub struct Sink {
    limits: Limits,
    /// The topic that everything here is of; `None` until one was found.
    topic_id: Option<TopicId>,
    partitions: BTreeMap<i32, Partition>,
    /// Only of partitions whose stored offset is known.
    buffer: VecDeque<Entry>,
    /// The size of the buffer and of the batch that is being written.
    held_bytes: usize,
    /// When the first record of the buffer came.
    waiting_since: Option<Instant>,
    busy: Busy,
    retry: Retry,
    /// When to read the stored offsets again, though nothing failed.
    look_again_at: Option<Instant>,
    epochs: u64,
    actions: VecDeque<Action>,
    draining: bool,
}

/// The request that is under way at the database.
#[derive(Debug, PartialEq)]
enum Busy {
    Idle,
    Resolving(Vec<i32>),
    Writing(Vec<Move>),
}

/// Failures in a row, and when to try again.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Sink {
    /// A sink without partitions.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            topic_id: None,
            partitions: BTreeMap::new(),
            buffer: VecDeque::new(),
            held_bytes: 0,
            waiting_since: None,
            busy: Busy::Idle,
            retry: Retry::default(),
            look_again_at: None,
            epochs: 0,
            actions: VecDeque::new(),
            draining: false,
        }
    }

    /// Tells it what happened.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Assigned(partitions) => {
                for partition in partitions {
                    self.partitions.insert(partition, Partition::Unknown);
                }
            }
            Event::Revoked(partitions) => {
                for partition in partitions {
                    self.partitions.remove(&partition);
                    self.forget_records(partition, i64::MAX);
                }
            }
            Event::Fetched { epoch, record } => self.fetched(epoch, record, now),
            Event::FetchFailed { partition, epoch } => {
                if self.partitions.get(&partition).is_some_and(|state| state.is_fetched_as(epoch)) {
                    self.partitions.insert(partition, Partition::Unknown);
                    self.forget_records(partition, i64::MAX);
                }
            }
            Event::Resolved(resolved) => self.resolved(resolved, now),
            Event::Written(written, entries) => self.written(written, entries, now),
        }
    }

    /// The next thing to do; `None` when there is nothing until the next event or [`Sink::wake_at`].
    pub fn action(&mut self, now: Instant) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.busy != Busy::Idle || self.draining || self.retry.at.is_some_and(|at| now < at) {
            return None;
        }
        self.retry.at = None;
        if self.look_again_at.take_if(|at| *at <= now).is_some() {
            self.partitions.values_mut().for_each(Partition::look_again);
        }
        let unknown = self.to_resolve(now);
        if !unknown.is_empty() {
            self.busy = Busy::Resolving(unknown.clone());
            return Some(Action::Resolve(unknown));
        }
        self.write(now)
    }

    /// When there may be something to do though nothing happens.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.busy != Busy::Idle || self.draining {
            return None;
        }
        if self.retry.at.is_some() {
            return self.retry.at;
        }
        let batch = self.waiting_since.map(|since| since + self.limits.linger);
        let stopped = self.partitions.values().filter_map(Partition::look_again_at).min();
        batch.into_iter().chain(stopped).chain(self.look_again_at).min()
    }

    /// Begins nothing more; what is under way may end.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.busy == Busy::Idle
    }

    /// The size of the records that it holds: those that wait and those that are being written.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The partitions that are stopped, and why.
    pub fn stopped(&self) -> impl Iterator<Item = (i32, &Stop)> {
        self.partitions.iter().filter_map(|(partition, state)| Some((*partition, state.stop()?)))
    }

    /// The partitions of this sink.
    pub fn assigned(&self) -> usize {
        self.partitions.len()
    }

    fn fetched(&mut self, epoch: Epoch, record: Fetched, now: Instant) {
        match record {
            Fetched::Entry(entry) => {
                let position = entry.position;
                let Some(state) = self.partitions.get_mut(&position.partition) else { return };
                if state.advance(epoch, position.offset) {
                    self.waiting_since.get_or_insert(now);
                    self.held_bytes += entry.raw.size();
                    self.buffer.push_back(*entry);
                }
            }
            Fetched::Newer { partition, offset, version } => {
                let Some(state) = self.partitions.get_mut(&partition) else { return };
                if let Some(stored) = state.stored().filter(|_| state.is_fetched_as(epoch)) {
                    // What lies before it is still written, from where the partition stands.
                    let look_again = now + self.limits.stopped_retry;
                    *state =
                        Partition::stopped(Stop::NewerVersion { offset, version }, Some(stored), look_again);
                    self.actions.push_back(Action::Release(partition));
                }
            }
        }
    }

    fn resolved(&mut self, resolved: Result<Resolved, Unresolved>, now: Instant) {
        self.busy = Busy::Idle;
        let Resolved { topic_id, partitions } = match resolved {
            Ok(resolved) => resolved,
            Err(Unresolved::KafkaAway(_) | Unresolved::DatabaseAway(_)) => return self.back_off(now),
            Err(Unresolved::Fatal(reason)) => return self.actions.push_back(Action::Fail(reason)),
        };
        self.retry = Retry::default();
        self.look_again_at = Some(now + self.limits.look_again);
        if self.topic_id.as_ref() != Some(&topic_id) {
            self.begin_anew(topic_id);
        }
        for (partition, resolution) in partitions {
            // It may have been revoked meanwhile, or stopped by a record of it.
            let Some(state) = self.partitions.get(&partition) else { continue };
            match resolution {
                Resolution::Start(offset) => {
                    let kept = state.keeps(offset);
                    self.forget_records(partition, if kept { offset } else { i64::MAX });
                    if kept {
                        self.partitions.entry(partition).and_modify(|state| state.go_on(offset));
                    } else {
                        self.epochs += 1;
                        let epoch = Epoch(self.epochs);
                        self.partitions.insert(partition, Partition::fetched(offset, epoch));
                        self.actions.push_back(Action::Fetch { partition, offset, epoch });
                    }
                    // What was told of it before may not have arrived, and no record may come for long.
                    self.actions.push_back(Action::Committed { partition, offset });
                }
                Resolution::Stop(stop) => {
                    self.forget_records(partition, i64::MAX);
                    let look_again = now + self.limits.stopped_retry;
                    self.partitions.insert(partition, Partition::stopped(stop, None, look_again));
                    self.actions.push_back(Action::Release(partition));
                }
            }
        }
    }

    /// Everything that was fetched so far is of another topic: an offset of that one says nothing about this one.
    fn begin_anew(&mut self, topic_id: TopicId) {
        self.topic_id = Some(topic_id);
        self.buffer.clear();
        self.held_bytes = 0;
        self.waiting_since = None;
        for state in self.partitions.values_mut() {
            *state = Partition::Unknown;
        }
    }

    fn written(&mut self, written: Result<Report, NotRecorded>, entries: Vec<Entry>, now: Instant) {
        let Busy::Writing(moves) = std::mem::replace(&mut self.busy, Busy::Idle) else { return };
        let size = |entries: &[Entry]| entries.iter().map(|entry| entry.raw.size()).sum::<usize>();
        let Err(error) = written else {
            self.held_bytes -= size(&entries);
            self.retry = Retry::default();
            for Move { partition, to, .. } in moves {
                if let Some(state) = self.partitions.get_mut(&partition) {
                    state.recorded(to);
                    self.actions.push_back(Action::Committed { partition, offset: to });
                }
            }
            return;
        };
        // Nothing is known but that the offsets tell: the records wait, in their order, until those were read again.
        let (kept, gone): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| self.partitions.contains_key(&entry.position.partition));
        self.held_bytes -= size(&gone);
        self.buffer = kept.into_iter().chain(std::mem::take(&mut self.buffer)).collect();
        self.waiting_since = (!self.buffer.is_empty()).then_some(now);
        for Move { partition, .. } in moves {
            self.partitions.entry(partition).and_modify(Partition::doubt);
        }
        match disposition(&error) {
            Disposition::Reread => self.retry.failures = 0,
            Disposition::Retry => self.back_off(now),
            Disposition::Fatal => self.actions.push_back(Action::Fail(crate::chain(&error))),
        }
    }

    /// Waits longer after each failure in a row, from 100 ms to 10 s.
    fn back_off(&mut self, now: Instant) {
        let wait = Duration::from_millis(100 << self.retry.failures.min(7)).min(Duration::from_secs(10));
        self.retry.failures += 1;
        self.retry.at = Some(now + wait);
    }

    fn to_resolve(&self, now: Instant) -> Vec<i32> {
        self.partitions
            .iter()
            .filter(|(_, state)| state.is_to_resolve(now))
            .map(|(partition, _)| *partition)
            .collect()
    }

    /// Cuts the next batch, when it is full or old enough.
    fn write(&mut self, now: Instant) -> Option<Action> {
        let since = self.waiting_since?;
        if self.buffer.len() < self.limits.batch_records && now < since + self.limits.linger {
            return None;
        }
        let topic_id = self.topic_id.clone()?;
        let rest = self.buffer.split_off(self.buffer.len().min(self.limits.batch_records));
        let entries: Vec<_> = std::mem::replace(&mut self.buffer, rest).into();
        self.waiting_since = (!self.buffer.is_empty()).then_some(now);
        let moves = self.moves(&entries);
        self.busy = Busy::Writing(moves.clone());
        Some(Action::Write { topic_id, moves, entries })
    }

    /// How far a batch moves each of its partitions, from exactly where it stands.
    fn moves(&self, entries: &[Entry]) -> Vec<Move> {
        let mut moves: BTreeMap<i32, Move> = BTreeMap::new();
        for Entry { position, .. } in entries {
            let stored = self.partitions.get(&position.partition).and_then(Partition::stored);
            let from =
                stored.expect("the buffer has records only of partitions whose stored offset is known");
            let first = Move { partition: position.partition, from, to: from };
            moves.entry(position.partition).or_insert(first).to = position.offset + 1;
        }
        moves.into_values().collect()
    }

    /// Forgets the buffered records of a partition below an offset.
    fn forget_records(&mut self, partition: i32, below: i64) {
        let held = &mut self.held_bytes;
        self.buffer.retain(|entry| {
            let keep = entry.position.partition != partition || entry.position.offset >= below;
            *held -= if keep { 0 } else { entry.raw.size() };
            keep
        });
        if self.buffer.is_empty() {
            self.waiting_since = None;
        }
    }
}

#[cfg(test)]
mod tests;
