//! Does what a sink says: one for each connection that writes.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use anyhow::bail;
use fluxo_core::{
    Timestamp, TopicId,
    kit::{health::Condition, shutdown::Shutdown},
    message::{self, Undecodable},
    position::Position,
};
use fluxo_store::{
    Store,
    record::{self, Batch, Content, Entry, Move, NotRecorded, RawRecord, Topic},
};
use tokio::sync::{Semaphore, mpsc::UnboundedReceiver};
use tracing::Instrument as _;

use crate::{
    OnRecorded, chain,
    disposition::{Disposition, of_database},
    forward::Duty,
    kafka::{Command, Consumer, Identity, Message, Oracle, room_of},
    metrics::Metrics,
    patience,
    resolve::{Decision, decide},
    settings::Settings,
    sink::{Action, Event, Fetched, Limits, Resolved, Sink, Stop, Unresolved},
    trace,
};

/// How long a stopped partition is left alone before it is looked at again: a person may have decided.
const STOPPED_RETRY: Duration = Duration::from_secs(5);

/// How long the stored offsets are taken for granted while nothing fails.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What the writers of a listener share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) oracle: Oracle,
    pub(crate) topic: String,
    pub(crate) metrics: Metrics,
    pub(crate) kafka: Condition,
    pub(crate) database: Condition,
    pub(crate) partitions: Stopped,
    pub(crate) duty: Arc<Duty>,
    pub(crate) on_recorded: Option<OnRecorded>,
}

/// The partitions of all writers that wait for a person.
pub(crate) struct Stopped {
    condition: Condition,
    partitions: Mutex<BTreeMap<i32, Stop>>,
}

/// One connection that writes, and its partitions.
pub(crate) struct Writer {
    number: usize,
    sink: Sink,
    capacity: u32,
    record: Option<Box<record::Writer>>,
    stopped: BTreeMap<i32, Stop>,
    commands: mpsc::Sender<Command>,
    patience: Duration,
    shared: Arc<Shared>,
}

/// A partition, its first offset, and the one after its last.
type Log = (i32, (i64, i64));

/// A request to the database that is under way.
type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// How it ended.
enum Done {
    Resolved(Result<Resolved, Unresolved>),
    Written(Box<record::Writer>, Result<record::Report, NotRecorded>, Vec<Entry>),
}

impl Writer {
    pub(crate) fn new(number: usize, settings: &Settings, shared: Arc<Shared>) -> Self {
        let own = &settings.listener;
        let limits = Limits {
            batch_records: own.listener_batch_records as usize,
            linger: own.listener_batch_linger,
            stopped_retry: STOPPED_RETRY,
            look_again: LOOK_AGAIN,
        };
        let record = record::Writer::new(settings.database.clone(), own.listener_remembered_accounts);
        Self {
            number,
            sink: Sink::new(limits),
            capacity: own.listener_buffer_bytes,
            record: Some(Box::new(record)),
            stopped: BTreeMap::new(),
            commands: shared.consumer.commands(),
            patience: patience(settings),
            shared,
        }
    }

    /// Runs until it is told to drain and nothing is under way any more, or for too long, or it cannot go on.
    pub(crate) async fn run(
        mut self,
        mut messages: UnboundedReceiver<Message>,
        room: Arc<Semaphore>,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        let mut pending: Option<Pending> = None;
        let mut taken = 0_usize;
        let mut gives_up = None;
        loop {
            while let Some(action) = self.sink.action(Instant::now()) {
                if let Some(request) = self.act(action)? {
                    pending = Some(request);
                }
            }
            self.note_stopped();
            // What the sink holds no longer is room for more.
            let held = self.sink.held_bytes().min(taken);
            room.add_permits(taken - held);
            taken = held;
            if shutdown.is_draining() && self.sink.is_idle() {
                return Ok(());
            }
            let wake = self.sink.wake_at().map(tokio::time::Instant::from_std);
            tokio::select! {
                biased;
                () = shutdown.draining(), if gives_up.is_none() => {
                    self.sink.drain();
                    gives_up = Some(tokio::time::Instant::now() + self.patience);
                }
                done = async { pending.as_mut().expect("it is there").await }, if pending.is_some() => {
                    pending = None;
                    self.done(done);
                }
                () = at(gives_up) => {
                    tracing::warn!(
                        writer = self.number,
                        "the database or Kafka does not answer: whoever has the partitions next finds out what was written"
                    );
                    return Ok(());
                }
                () = at(wake) => {}
                message = messages.recv() => {
                    taken += self.take(message)?;
                    // What is there already is taken at once: a look at the clock for each record would cost more.
                    for _ in 0..256 {
                        let Ok(message) = messages.try_recv() else { break };
                        taken += self.take(Some(message))?;
                    }
                }
            }
        }
    }

    /// Tells the sink what the consumer says; how much room it took.
    fn take(&mut self, message: Option<Message>) -> anyhow::Result<usize> {
        let now = Instant::now();
        match message {
            Some(Message::Record { epoch, partition, offset, raw }) => {
                let room = room_of(&raw, self.capacity);
                let record = decode(Position { partition, offset }, raw);
                self.sink.handle(Event::Fetched { epoch, record }, now);
                return Ok(room as usize);
            }
            Some(Message::Assigned(partition)) => {
                self.shared.duty.assigned(partition);
                self.sink.handle(Event::Assigned(vec![partition]), now);
            }
            Some(Message::Revoked(partition)) => {
                self.shared.duty.revoked(partition);
                self.sink.handle(Event::Revoked(vec![partition]), now);
            }
            Some(Message::Failed { partition, epoch }) => {
                self.sink.handle(Event::FetchFailed { partition, epoch }, now);
            }
            Some(Message::Dead(reason)) => bail!(reason),
            None => bail!("the thread that polls has ended"),
        }
        Ok(0)
    }

    /// Does what the sink says; the request, if it began one.
    fn act(&mut self, action: Action) -> anyhow::Result<Option<Pending>> {
        let command = match action {
            Action::Resolve(partitions) => return Ok(Some(self.resolve(partitions))),
            Action::Write { topic_id, moves, entries } => {
                return Ok(Some(self.write(topic_id, moves, entries)));
            }
            Action::Fail(reason) => bail!(reason),
            Action::Fetch { partition, offset, epoch } => Command::Fetch { partition, offset, epoch },
            Action::Release(partition) => Command::Release(partition),
            Action::Committed { partition, offset } => Command::Committed { partition, offset },
        };
        // Should the thread that polls have ended, its last message says so.
        let _ = self.commands.send(command);
        Ok(None)
    }

    fn resolve(&self, partitions: Vec<i32>) -> Pending {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Done::Resolved(resolve(&shared, partitions).await) })
    }

    fn write(&mut self, id: TopicId, moves: Vec<Move>, entries: Vec<Entry>) -> Pending {
        let mut writer = self.record.take().expect("a sink writes one batch at a time");
        let topic = Topic { name: self.shared.topic.clone(), id: id.clone() };
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let batch = Batch { topic, moves, entries };
            let began = Instant::now();
            let recorded = writer.record(&batch, Timestamp::now(), shared.oracle.confirm(id));
            let recorded = recorded.instrument(trace::span(&batch)).await;
            match &recorded {
                Ok(report) => shared.metrics.recorded(report, began.elapsed(), oldest(&batch)),
                Err(failure) => shared.metrics.not_recorded(failure),
            }
            Done::Written(writer, recorded, batch.entries)
        })
    }

    /// Tells the sink, and whoever watches, how a request ended.
    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Resolved(Ok(resolved)) => {
                self.shared.database.holds();
                self.sink.handle(Event::Resolved(Ok(resolved)), now);
            }
            Done::Resolved(Err(unresolved)) => {
                match &unresolved {
                    Unresolved::KafkaAway(reason) => self.shared.kafka.fails(reason.clone()),
                    Unresolved::DatabaseAway(reason) => self.shared.database.fails(reason.clone()),
                    Unresolved::Fatal(_) => {}
                }
                self.sink.handle(Event::Resolved(Err(unresolved)), now);
            }
            Done::Written(writer, recorded, entries) => {
                self.record = Some(writer);
                self.tell(&recorded, &entries);
                self.sink.handle(Event::Written(recorded, entries), now);
            }
        }
    }

    fn tell(&self, recorded: &Result<record::Report, NotRecorded>, entries: &[Entry]) {
        match recorded {
            Ok(report) => {
                self.shared.database.holds();
                if report.alone {
                    tracing::warn!(
                        writer = self.number,
                        "an account is in two partitions: it was written alone"
                    );
                }
                for reason in &report.refused {
                    tracing::warn!(reason = reason.as_str(), "a record went to quarantine");
                }
                if !report.refused.is_empty() {
                    self.shared.duty.wake();
                }
                if let Some(told) = &self.shared.on_recorded {
                    let sizes = entries.iter().map(|entry| entry.raw.value.as_ref().map_or(0, Vec::len));
                    told(entries.len(), sizes.sum());
                }
            }
            Err(failure) => {
                if let NotRecorded::Database(error) = failure {
                    self.shared.database.fails(chain(error));
                }
                tracing::warn!(writer = self.number, error = chain(failure), "a batch was not recorded");
            }
        }
    }

    /// Makes known which partitions wait for a person.
    fn note_stopped(&mut self) {
        let stopped: BTreeMap<_, _> =
            self.sink.stopped().map(|(partition, stop)| (partition, stop.clone())).collect();
        if stopped != self.stopped {
            self.shared.partitions.change(&self.stopped, &stopped, &self.shared.metrics);
            self.stopped = stopped;
        }
    }
}

/// Waits until then; for ever without it.
async fn at(then: Option<tokio::time::Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Asks the database and Kafka where partitions go on.
async fn resolve(shared: &Arc<Shared>, partitions: Vec<i32>) -> Result<Resolved, Unresolved> {
    let asked = Arc::clone(shared);
    let (found, logs) = tokio::task::spawn_blocking(move || look_at_kafka(&asked, &partitions))
        .await
        .map_err(|error| Unresolved::Fatal(error.to_string()))?
        .map_err(|error| Unresolved::KafkaAway(format!("{error:#}")))?;
    shared.duty.counted(found.partitions);
    loop {
        let stored = shared.store.offsets(&shared.topic).await.map_err(|error| unresolved(&error))?;
        let (mut known, mut begun) = (Vec::new(), BTreeMap::new());
        for (partition, ends) in &logs {
            match decide(&stored, &found, *partition, *ends) {
                Decision::Known(resolution) => known.push((*partition, resolution)),
                Decision::Begin(offset) => drop(begun.insert(*partition, offset)),
            }
        }
        if begun.is_empty() {
            return Ok(Resolved { topic_id: found.topic_id, partitions: known });
        }
        let begun = shared.store.begin_offsets(&shared.topic, &begun).await;
        begun.map_err(|error| unresolved(&error))?;
    }
}

/// What is behind the topic's name, and where the logs of partitions begin and end. Blocks.
fn look_at_kafka(shared: &Shared, partitions: &[i32]) -> anyhow::Result<(Identity, Vec<Log>)> {
    let found = shared.consumer.identity(&shared.topic)?;
    let log = |partition: &i32| Ok((*partition, shared.consumer.watermarks(&shared.topic, *partition)?));
    Ok((found, partitions.iter().map(log).collect::<anyhow::Result<_>>()?))
}

fn unresolved(error: &fluxo_store::Error) -> Unresolved {
    match of_database(error) {
        Disposition::Fatal => Unresolved::Fatal(chain(error)),
        Disposition::Retry | Disposition::Reread => Unresolved::DatabaseAway(chain(error)),
    }
}

fn decode(position: Position, raw: RawRecord) -> Fetched {
    let content = match message::decode(raw.key.as_deref(), raw.value.as_deref()) {
        Ok(accepted) => Content::Accepted(Box::new(accepted)),
        Err(Undecodable::Refused(reason)) => Content::Refused(reason),
        Err(Undecodable::Newer(version)) => {
            return Fetched::Newer { partition: position.partition, offset: position.offset, version };
        }
    };
    Fetched::Entry(Box::new(Entry { position, content, raw }))
}

/// How long the record of a batch that was accepted first has waited to be recorded.
fn oldest(batch: &Batch) -> Option<Duration> {
    let accepted = batch.entries.iter().filter_map(|entry| match &entry.content {
        Content::Accepted(accepted) => Some(accepted.accepted_at),
        Content::Refused(_) => None,
    });
    Some(Timestamp::now().since(accepted.min()?))
}

impl Stopped {
    pub(crate) fn new(condition: Condition) -> Self {
        Self { condition, partitions: Mutex::default() }
    }

    /// Notes that the stopped partitions of one writer have changed.
    fn change(&self, before: &BTreeMap<i32, Stop>, after: &BTreeMap<i32, Stop>, metrics: &Metrics) {
        let mut all = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, stop) in before.iter().filter(|(partition, stop)| after.get(partition) != Some(stop))
        {
            metrics.stopped(stop.label(), -1);
            all.remove(partition);
        }
        for (partition, stop) in after.iter().filter(|(partition, stop)| before.get(partition) != Some(stop))
        {
            metrics.stopped(stop.label(), 1);
            tracing::error!(kafka.partition = partition, reason = stop.label(), "stopped: {stop}");
            all.insert(*partition, stop.clone());
        }
        match all.first_key_value() {
            Some((partition, stop)) => {
                self.condition.fails(format!("{} stopped; partition {partition}: {stop}", all.len()));
            }
            None => self.condition.holds(),
        }
    }
}
