//! One listener: the real state machines, and around them what the process does for them.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    pin::Pin,
    rc::Rc,
    task::Context,
    time::{Duration, Instant},
};

use fluxo_core::{Position, Timestamp, TopicId, quarantine::Reason};
use fluxo_listener::{
    resolve::{Decision, decide},
    sink::{Action, Epoch, Event, Fetched, Limits, Resolution, Resolved, Sink, Stop, Unresolved},
};
use fluxo_store::{
    Error,
    record::{self, Batch, Content, Entry, Move, NotRecorded, RawRecord, Report, Tails, Topic},
};

use crate::{
    Mutant,
    database::{Connection, Faults, Session, Tables, said, turn},
    kafka::{Kafka, PARTITIONS},
};

/// How many writers a listener has.
const WRITERS: usize = 2;
/// So few that accounts are forgotten all the time.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(3).expect("it is not zero");
const LIMITS: Limits = Limits {
    batch_records: 4,
    linger: Duration::from_millis(5),
    stopped_retry: Duration::from_secs(5),
    look_again: Duration::from_secs(30),
};

/// What all listeners work on.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) kafka: Rc<RefCell<Kafka>>,
    pub(crate) kafka_is_away: Rc<Cell<bool>>,
    pub(crate) tables: Rc<RefCell<Tables>>,
    pub(crate) faults: Rc<Cell<Faults>>,
    pub(crate) rng: Rc<RefCell<fastrand::Rng>>,
    pub(crate) sessions: Rc<Cell<u64>>,
    pub(crate) mutant: Option<Mutant>,
}

/// A process.
pub(crate) struct Listener {
    /// Whether it knows messages of the newer version.
    pub(crate) upgraded: bool,
    /// Whether it stands still, as one that was suspended.
    pub(crate) frozen: bool,
    /// Partitions that it lost without having been told yet.
    pub(crate) untold: BTreeSet<i32>,
    writers: Vec<Writer>,
}

/// What was seen of all batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Batches that were written.
    pub written: u64,
    /// Batches that another writer had fenced off.
    pub fenced: u64,
    /// Batches of which it was unknown whether they were written.
    pub unknown: u64,
    /// Batches whose topic was not confirmed.
    pub unconfirmed: u64,
    /// Batches that were tried more than once.
    pub retried: u64,
    /// Batches that were written alone.
    pub alone: u64,
    /// Records that had been rows already.
    pub duplicates: u64,
    /// Records that went to quarantine.
    pub refused: u64,
}

/// A sink, and what its writer remembers.
struct Writer {
    sink: Sink,
    tails: Option<Tails>,
    fetches: BTreeMap<i32, Fetch>,
    /// Earlier fetches, whose records may still be on their way.
    old: Vec<Fetch>,
    pending: Option<Pin<Box<dyn Future<Output = Done>>>>,
    /// Makes the pending request end without an answer.
    expired: Rc<Cell<bool>>,
    /// Where partitions stood before a commit whose reply was lost, for a mutant.
    doubtful: BTreeMap<i32, i64>,
}

#[derive(Clone, Copy)]
struct Fetch {
    partition: i32,
    next: i64,
    epoch: Epoch,
}

enum Done {
    Resolved(Result<Resolved, Unresolved>),
    Written(Tails, Result<Report, NotRecorded>, Vec<Entry>, Vec<Move>),
}

impl Listener {
    pub(crate) fn new(upgraded: bool) -> Self {
        let writers = (0..WRITERS).map(|_| Writer::new()).collect();
        Self { upgraded, frozen: false, untold: BTreeSet::new(), writers }
    }

    pub(crate) fn assign(&mut self, partition: i32, now: Instant) {
        self.revoke_untold(now);
        self.writer(partition).sink.handle(Event::Assigned(vec![partition]), now);
    }

    pub(crate) fn revoke(&mut self, partition: i32, now: Instant) {
        let writer = self.writer(partition);
        writer.forget_fetch(partition);
        writer.sink.handle(Event::Revoked(vec![partition]), now);
    }

    /// Hears which partitions it has lost.
    pub(crate) fn revoke_untold(&mut self, now: Instant) {
        for partition in std::mem::take(&mut self.untold) {
            self.revoke(partition, now);
        }
    }

    /// Does one thing that it can do.
    pub(crate) fn turn(
        &mut self,
        outside: &Outside,
        now: Instant,
        clock: Timestamp,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let upgraded = self.upgraded;
        let number = outside.rng.borrow_mut().usize(..self.writers.len());
        let writer = &mut self.writers[number];
        if outside.rng.borrow_mut().bool() {
            writer.poll(outside, now, counts);
        } else {
            writer.fetch(outside, upgraded, now);
        }
        writer.act(outside, now, clock)
    }

    /// Kafka cannot serve a partition from where it is fetched.
    pub(crate) fn break_fetch(&mut self, partition: i32, now: Instant) {
        let writer = self.writer(partition);
        if let Some(fetch) = writer.forget_fetch(partition) {
            writer.sink.handle(Event::FetchFailed { partition, epoch: fetch.epoch }, now);
        }
    }

    /// What is under way at the database takes too long.
    pub(crate) fn expire(&mut self, partition: i32) {
        self.writer(partition).expired.set(true);
    }

    /// A record comes that was fetched before the partition was fetched anew.
    pub(crate) fn fetch_old(&mut self, outside: &Outside, partition: i32, now: Instant) {
        let upgraded = self.upgraded;
        let writer = self.writer(partition);
        let Some(mut fetch) = writer.old.pop() else { return };
        let position = Position { partition: fetch.partition, offset: fetch.next };
        if let Some(record) = outside.kafka.borrow().decoded(position, upgraded) {
            let current = writer.fetches.get(&fetch.partition).map(|fetch| fetch.epoch);
            let keeps = outside.mutant == Some(Mutant::KeepsOldFetches);
            let epoch = current.filter(|_| keeps).unwrap_or(fetch.epoch);
            writer.sink.handle(Event::Fetched { epoch, record: mutated(record, outside.mutant) }, now);
            fetch.next += 1;
            writer.old.push(fetch);
        }
    }

    /// A record comes a second time.
    pub(crate) fn fetch_again(&mut self, outside: &Outside, partition: i32, now: Instant) {
        let upgraded = self.upgraded;
        let writer = self.writer(partition);
        let Some(fetch) = writer.fetches.get(&partition) else { return };
        let position = Position { partition, offset: fetch.next - 1 };
        if let Some(record) = outside.kafka.borrow().decoded(position, upgraded) {
            writer.sink.handle(Event::Fetched { epoch: fetch.epoch, record }, now);
        }
    }

    /// Whether a person must decide about one of its partitions.
    pub(crate) fn waits_for_a_person(&self) -> bool {
        let stops = self.writers.iter().flat_map(|writer| writer.sink.stopped());
        stops.into_iter().any(|(_, stop)| !matches!(stop, Stop::NewerVersion { .. }))
    }

    /// What its sinks are at, for whoever looks for a fault.
    pub(crate) fn state(&self) -> Vec<String> {
        self.writers.iter().map(|writer| format!("{:?}", writer.sink)).collect()
    }

    fn writer(&mut self, partition: i32) -> &mut Writer {
        &mut self.writers[usize::try_from(partition).expect("it is a partition") % WRITERS]
    }
}

impl Writer {
    fn new() -> Self {
        Self {
            sink: Sink::new(LIMITS),
            tails: Some(Tails::new(REMEMBERED)),
            fetches: BTreeMap::new(),
            old: Vec::new(),
            pending: None,
            expired: Rc::default(),
            doubtful: BTreeMap::new(),
        }
    }

    /// The request at the database makes a step, or ends.
    fn poll(&mut self, outside: &Outside, now: Instant, counts: &mut Counts) {
        let Some(pending) = &mut self.pending else { return };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(done) = pending.as_mut().poll(&mut context) else { return };
        self.pending = None;
        match done {
            Done::Resolved(resolved) => {
                let resolved = resolved.map(|Resolved { topic_id, partitions }| {
                    let partitions =
                        partitions.into_iter().map(|one| self.mutated(one, outside.mutant)).collect();
                    Resolved { topic_id, partitions }
                });
                self.sink.handle(Event::Resolved(resolved), now);
            }
            Done::Written(tails, written, entries, moves) => {
                self.tails = Some(tails);
                counts.note(&written);
                match &written {
                    Err(NotRecorded::Database(_)) => {
                        self.doubtful.extend(moves.iter().map(|part| (part.partition, part.from)));
                    }
                    Err(_) => {}
                    Ok(_) => self.doubtful.clear(),
                }
                self.sink.handle(Event::Written(written, entries), now);
            }
        }
    }

    /// The next record of one of its partitions comes.
    fn fetch(&mut self, outside: &Outside, upgraded: bool, now: Instant) {
        if outside.kafka_is_away.get() || self.fetches.is_empty() {
            return;
        }
        let chosen = outside.rng.borrow_mut().usize(..self.fetches.len());
        let Some(fetch) = self.fetches.values_mut().nth(chosen) else { return };
        let kafka = outside.kafka.borrow();
        let log = kafka.log(fetch.partition);
        if fetch.next < log.start || fetch.next > log.end() {
            let Fetch { partition, epoch, .. } = *fetch;
            self.fetches.remove(&partition);
            return self.sink.handle(Event::FetchFailed { partition, epoch }, now);
        }
        let position = Position { partition: fetch.partition, offset: fetch.next };
        if let Some(record) = kafka.decoded(position, upgraded) {
            fetch.next += 1;
            let record = mutated(record, outside.mutant);
            self.sink.handle(Event::Fetched { epoch: fetch.epoch, record }, now);
        }
    }

    fn forget_fetch(&mut self, partition: i32) -> Option<Fetch> {
        let fetch = self.fetches.remove(&partition)?;
        self.old.push(fetch);
        Some(fetch)
    }

    /// Does what the sink says.
    fn act(&mut self, outside: &Outside, now: Instant, clock: Timestamp) -> Result<(), String> {
        while let Some(action) = self.sink.action(now) {
            match action {
                Action::Fetch { partition, offset, epoch } => {
                    self.forget_fetch(partition);
                    self.fetches.insert(partition, Fetch { partition, next: offset, epoch });
                }
                Action::Release(partition) => drop(self.forget_fetch(partition)),
                Action::Committed { partition, offset } => {
                    // It is a copy that nothing rests on: some of it never arrives.
                    if outside.rng.borrow_mut().bool() {
                        outside.kafka.borrow_mut().copy.insert(partition, offset);
                    }
                }
                Action::Fail(reason) => return Err(format!("a listener ends: {reason}")),
                Action::Resolve(_) | Action::Write { .. } if self.pending.is_some() => {
                    return Err("two requests are under way".into());
                }
                Action::Resolve(partitions) => {
                    self.pending =
                        Some(Box::pin(resolve(outside.clone(), outside.connect(clock), partitions)));
                }
                Action::Write { topic_id, moves, entries } => {
                    let topic = Topic { name: "transactions".into(), id: topic_id };
                    self.write(outside, clock, Batch { topic, moves, entries })?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, outside: &Outside, clock: Timestamp, mut batch: Batch) -> Result<(), String> {
        match outside.mutant {
            Some(Mutant::MovesTooFar) => batch.moves.iter_mut().for_each(|part| part.to += 1),
            Some(Mutant::MovesTooLittle) => batch.moves.iter_mut().for_each(|part| part.to -= 1),
            Some(Mutant::Reorders) => batch.entries.reverse(),
            _ => {}
        }
        let mut tails = self.tails.take().ok_or("two batches are written at once")?;
        let mut connection = outside.connect(clock);
        connection.said = Rc::new(said(&batch));
        let (confirmed, outside) = (confirm(outside.clone(), batch.topic.id.clone()), outside.clone());
        self.expired = Rc::default();
        let expired = Rc::clone(&self.expired);
        self.pending = Some(Box::pin(async move {
            let session = Session(connection);
            let connection = &session.0;
            let recorded = {
                let driven = record::drive(connection, &batch, &mut tails, clock, confirmed);
                let mut driven = std::pin::pin!(driven);
                std::future::poll_fn(|context| {
                    if expired.get() {
                        let late = Error::Foreign { table: "any", column: "any" };
                        return std::task::Poll::Ready(Err(NotRecorded::Database(late)));
                    }
                    driven.as_mut().poll(context)
                })
                .await
            };
            if expired.get() {
                tails.forget();
            }
            if recorded.is_err() && outside.mutant == Some(Mutant::RemembersUncommitted) {
                for (key, tail) in connection.last.take() {
                    tails.remember(key, tail);
                }
            }
            Done::Written(tails, recorded, batch.entries, batch.moves)
        }));
        Ok(())
    }

    fn mutated(
        &self,
        (partition, resolution): (i32, Resolution),
        mutant: Option<Mutant>,
    ) -> (i32, Resolution) {
        let resolution = match (mutant, resolution) {
            (Some(Mutant::GoesOnAfterGap), Resolution::Stop(Stop::Gap { log_start, .. })) => {
                Resolution::Start(log_start)
            }
            (Some(Mutant::TakesSilenceForFailure), Resolution::Start(offset)) => {
                Resolution::Start(self.doubtful.get(&partition).copied().unwrap_or(offset))
            }
            (_, resolution) => resolution,
        };
        (partition, resolution)
    }
}

impl Outside {
    fn connect(&self, now: Timestamp) -> Connection {
        self.sessions.set(self.sessions.get() + 1);
        Connection {
            session: self.sessions.get(),
            tables: Rc::clone(&self.tables),
            faults: Rc::clone(&self.faults),
            rng: Rc::clone(&self.rng),
            mutant: self.mutant,
            now,
            last: Rc::default(),
            said: Rc::default(),
        }
    }
}

impl Counts {
    fn note(&mut self, written: &Result<Report, NotRecorded>) {
        match written {
            Ok(report) => {
                self.written += 1;
                self.retried += u64::from(report.tries > 1);
                self.alone += u64::from(report.alone);
                self.duplicates += report.duplicates as u64;
                self.refused += report.refused.len() as u64;
            }
            Err(NotRecorded::Fenced) => self.fenced += 1,
            Err(NotRecorded::Unconfirmed) => self.unconfirmed += 1,
            Err(NotRecorded::Contended | NotRecorded::Database(_)) => self.unknown += 1,
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.fenced += other.fenced;
        self.unknown += other.unknown;
        self.unconfirmed += other.unconfirmed;
        self.retried += other.retried;
        self.alone += other.alone;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
    }
}

fn mutated(record: Fetched, mutant: Option<Mutant>) -> Fetched {
    match (mutant, record) {
        (Some(Mutant::RefusesNewer), Fetched::Newer { partition, offset, .. }) => {
            let position = Position { partition, offset };
            let content = Content::Refused(Reason::NotOurs);
            Fetched::Entry(Box::new(Entry { position, content, raw: RawRecord::default() }))
        }
        (_, record) => record,
    }
}

/// Whether a topic is still the one behind its name.
async fn confirm(outside: Outside, id: TopicId) -> bool {
    turn().await;
    if matches!(outside.mutant, Some(Mutant::ConfirmsNothing | Mutant::TakesAnyTopic)) {
        return true;
    }
    !outside.kafka_is_away.get() && outside.kafka.borrow().identity().topic_id == id
}

/// Asks Kafka and the database where partitions go on, as the listener does.
async fn resolve(outside: Outside, connection: Connection, partitions: Vec<i32>) -> Done {
    Done::Resolved(resolutions(&outside, &connection, partitions).await)
}

async fn resolutions(
    outside: &Outside,
    connection: &Connection,
    partitions: Vec<i32>,
) -> Result<Resolved, Unresolved> {
    let away = |_| Unresolved::DatabaseAway("away".into());
    turn().await;
    if outside.kafka_is_away.get() {
        return Err(Unresolved::KafkaAway("away".into()));
    }
    let (mut found, logs, copy) = {
        let kafka = outside.kafka.borrow();
        let ends = |partition: i32| (kafka.log(partition).start, kafka.log(partition).end());
        let logs: Vec<_> = partitions.iter().map(|partition| (*partition, ends(*partition))).collect();
        (kafka.identity(), logs, kafka.copy.clone())
    };
    loop {
        connection.statement().await.map_err(away)?;
        let stored = outside.tables.borrow().offsets.clone();
        if let (Some(Mutant::TakesAnyTopic), Some(any)) = (outside.mutant, stored.values().next()) {
            found.topic_id = any.topic_id.clone();
        }
        let (mut known, mut begun) = (Vec::new(), BTreeMap::new());
        for (partition, ends) in &logs {
            match decide(&stored, &found, *partition, *ends) {
                Decision::Known(resolution) => known.push((*partition, resolution)),
                Decision::Begin(mut offset) => {
                    if outside.mutant == Some(Mutant::BeginsAtTheEnd) {
                        offset.next_offset = ends.1;
                    }
                    begun.insert(*partition, (offset, ends.0));
                }
            }
        }
        if begun.is_empty() {
            if outside.mutant == Some(Mutant::TrustsTheCopy) {
                for (partition, resolution) in &mut known {
                    if let (Resolution::Start(offset), Some(copied)) = (resolution, copy.get(partition)) {
                        *offset = *copied;
                    }
                }
            }
            return Ok(Resolved { topic_id: found.topic_id, partitions: known });
        }
        connection.statement().await.map_err(away)?;
        outside.tables.borrow_mut().begin_offsets(begun);
    }
}

/// All partitions of the topic.
pub(crate) fn all_partitions() -> impl Iterator<Item = i32> {
    0..PARTITIONS
}
