//! The thread that polls: it takes what Kafka brings to the writers, and does what it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use fluxo_store::record::{RawHeader, RawRecord};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};

use super::{
    Command, Intake, Message,
    context::{Context, Rebalance},
    room_of,
};
use crate::sink::Epoch;

/// How long a poll waits for a record: a command that comes meanwhile waits as long.
const POLL: Duration = Duration::from_millis(10);
/// How long a writer that has no room is waited for before its partitions are paused. Pausing throws away what was
/// fetched ahead, so it is for a database that is away, not for one that is busy.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the group's copy of the offsets is renewed.
const COPY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a look at Kafka may keep the thread from polling.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// One way to a writer, and what does not fit into it.
struct Lane {
    intake: Intake,
    waiting: VecDeque<(u32, Message)>,
    partitions: Vec<i32>,
    /// Nothing is fetched for it, since it had no room.
    paused: bool,
}

pub(super) struct Poller {
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
    topic: String,
    lanes: Vec<Lane>,
    epochs: BTreeMap<i32, Epoch>,
    copy: BTreeMap<i32, i64>,
    copied_at: Instant,
}

impl Poller {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        context: Context,
        topic: String,
        intakes: Vec<Intake>,
    ) -> Self {
        Self {
            consumer,
            context,
            topic,
            lanes: intakes.into_iter().map(Lane::new).collect(),
            epochs: BTreeMap::new(),
            copy: BTreeMap::new(),
            copied_at: Instant::now(),
        }
    }

    /// Polls until it is told to close.
    pub(super) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        let consumer = Arc::clone(&self.consumer);
        loop {
            loop {
                match commands.try_recv() {
                    Ok(Command::Close) | Err(mpsc::TryRecvError::Disconnected) => return self.close(),
                    Ok(command) => self.obey(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            let polled = consumer.poll(POLL);
            self.tell_rebalances();
            match polled {
                Some(Ok(message)) => self.fetched(&message),
                Some(Err(error)) => self.failed(&error),
                None => {}
            }
            self.make_room();
            if self.copied_at.elapsed() >= COPY_INTERVAL {
                self.copy_offsets(CommitMode::Async);
                self.look_again();
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Fetch { partition, offset, epoch } => {
                // It may have been revoked since.
                if self.lane(partition).partitions.contains(&partition) {
                    self.release(partition);
                    self.fetch(partition, offset, epoch);
                }
            }
            Command::Release(partition) => self.release(partition),
            Command::Committed { partition, offset } => {
                self.copy.insert(partition, offset);
            }
            Command::Close => {}
        }
    }

    fn fetch(&mut self, partition: i32, offset: i64, epoch: Epoch) {
        let mut one = TopicPartitionList::new();
        let added = one.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
        let paused = self.lanes[self.lane_number(partition)].paused;
        if !paused {
            // librdkafka takes it up as paused as it was when it was taken away, for ever.
            self.set_paused(&one, false);
        }
        match added.and_then(|()| self.consumer.incremental_assign(&one)) {
            Ok(()) => {
                self.context.note_fetching(partition);
                self.epochs.insert(partition, epoch);
                if paused {
                    self.set_paused(&one, true);
                }
                tracing::info!(kafka.partition = partition, kafka.offset = offset, "fetching");
            }
            Err(error) => {
                tracing::error!(kafka.partition = partition, error = %error, "a partition cannot be fetched");
                self.tell(partition, Message::Failed { partition, epoch });
            }
        }
    }

    fn release(&mut self, partition: i32) {
        self.epochs.remove(&partition);
        if self.context.note_released(partition) {
            let mut one = TopicPartitionList::new();
            one.add_partition(&self.topic, partition);
            if let Err(error) = self.consumer.incremental_unassign(&one) {
                tracing::error!(kafka.partition = partition, error = %error, "a partition cannot be released");
            }
        }
    }

    fn tell_rebalances(&mut self) {
        for decided in self.context.rebalances() {
            match decided {
                Rebalance::Assigned(partitions) => {
                    tracing::info!(partitions = ?partitions, "assigned by the group");
                    for partition in partitions {
                        self.lane(partition).partitions.push(partition);
                        self.tell(partition, Message::Assigned(partition));
                    }
                }
                Rebalance::Revoked(partitions) => {
                    tracing::info!(partitions = ?partitions, "revoked by the group");
                    for partition in partitions {
                        self.epochs.remove(&partition);
                        self.copy.remove(&partition);
                        self.lane(partition).forget(partition);
                        self.tell(partition, Message::Revoked(partition));
                    }
                }
            }
        }
    }

    fn fetched(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        // None: it was fetched before the partition was released.
        let Some(epoch) = self.epochs.get(&partition).copied() else { return };
        self.context.holds();
        let lane = self.lane(partition);
        let raw = raw(message);
        let room = room_of(&raw, lane.intake.capacity);
        let record = Message::Record { epoch, partition, offset: message.offset(), raw };
        let lane_was_full = !lane.waiting.is_empty();
        lane.waiting.push_back((room, record));
        lane.flush();
        if !lane_was_full && !lane.waiting.is_empty() {
            self.wait_or_pause(partition);
        }
    }

    /// Waits a moment for room in a full lane; if none comes, pauses its partitions.
    fn wait_or_pause(&mut self, partition: i32) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            let lane = self.lane(partition);
            lane.flush();
            if lane.waiting.is_empty() {
                return;
            }
        }
        tracing::info!("the database does not keep up: pausing");
        self.lane(partition).paused = true;
        self.set_paused(&self.fetched_for(self.lane_number(partition)), true);
    }

    /// Takes what waits into lanes that have room again, and goes on fetching for them.
    fn make_room(&mut self) {
        for number in 0..self.lanes.len() {
            self.lanes[number].flush();
            if self.lanes[number].goes_on() {
                self.set_paused(&self.fetched_for(number), false);
            }
        }
    }

    /// The partitions of a lane that are fetched.
    fn fetched_for(&self, lane: usize) -> TopicPartitionList {
        let mut fetched = TopicPartitionList::new();
        let own = self.lanes[lane].partitions.iter();
        for partition in own.filter(|partition| self.epochs.contains_key(partition)) {
            fetched.add_partition(&self.topic, *partition);
        }
        fetched
    }

    fn set_paused(&self, partitions: &TopicPartitionList, paused: bool) {
        let done = if paused { self.consumer.pause(partitions) } else { self.consumer.resume(partitions) };
        if let Err(error) = done {
            tracing::warn!(error = %error, paused, "partitions cannot be paused or resumed");
        }
    }

    fn failed(&mut self, error: &KafkaError) {
        if let Some((_, reason)) = self.consumer.client().fatal_error() {
            return self.die(&format!("librdkafka cannot go on: {reason}"));
        }
        match error.rdkafka_error_code() {
            // The wrapper does not tell which partition it is, so each is looked at.
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.doubt_all(error);
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.context.fails(format!("topic {} does not exist", self.topic));
                self.doubt_all(error);
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.context
                    .fails(format!("this user may not read topic {} in this group: {error}", self.topic));
            }
            _ => tracing::warn!(error = %error, "Kafka cannot be read at the moment"),
        }
    }

    fn doubt_all(&mut self, error: &KafkaError) {
        if !self.epochs.is_empty() {
            tracing::warn!(error = %error, "partitions cannot be fetched from where they are");
        }
        for (partition, epoch) in self.epochs.clone() {
            self.release(partition);
            self.tell(partition, Message::Failed { partition, epoch });
        }
    }

    /// Looks whether a Kafka that could not be used can be again: nothing else tells, while there are no records.
    fn look_again(&self) {
        if self.context.is_lost() {
            let found = self.consumer.fetch_metadata(Some(&self.topic), LOOK_TIMEOUT);
            if found.is_ok_and(|found| found.topics().iter().all(|topic| topic.error().is_none())) {
                self.context.holds();
            }
        }
    }

    fn die(&self, reason: &str) {
        for lane in &self.lanes {
            let _ = lane.intake.messages.send(Message::Dead(reason.to_owned()));
        }
    }

    /// Renews the group's copy of the offsets, which nothing rests on.
    fn copy_offsets(&mut self, mode: CommitMode) {
        self.copied_at = Instant::now();
        if self.copy.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.copy) {
            // An offset below zero cannot have been stored.
            let _ = offsets.add_partition_offset(&self.topic, partition, Offset::Offset(offset));
        }
        if let Err(error) = self.consumer.commit(&offsets, mode) {
            tracing::debug!(error = %error, "the group's copy of the offsets was not renewed");
        }
    }

    fn close(mut self) {
        self.copy_offsets(CommitMode::Sync);
        self.consumer.unsubscribe();
        // Leaving is a rebalance: it is done when the revocation was served.
        let until = Instant::now() + Duration::from_secs(5);
        while self.lanes.iter().any(|lane| !lane.partitions.is_empty()) && Instant::now() < until {
            let _ = self.consumer.poll(POLL);
            self.tell_rebalances();
        }
    }

    fn lane_number(&self, partition: i32) -> usize {
        usize::try_from(partition).unwrap_or_default() % self.lanes.len()
    }

    fn lane(&mut self, partition: i32) -> &mut Lane {
        let number = self.lane_number(partition);
        &mut self.lanes[number]
    }

    /// Tells what is not a record: it takes no room.
    fn tell(&mut self, partition: i32, message: Message) {
        // Whoever is told may have ended: then the process does.
        let _ = self.lane(partition).intake.messages.send(message);
    }
}

impl Lane {
    const fn new(intake: Intake) -> Self {
        Self { intake, waiting: VecDeque::new(), partitions: Vec::new(), paused: false }
    }

    /// Takes a partition away, with what waits of it.
    fn forget(&mut self, partition: i32) {
        self.partitions.retain(|own| *own != partition);
        self.waiting.retain(|(_, message)| !message.is_record_of(partition));
    }

    /// Whether it was paused, and need not be any longer.
    fn goes_on(&mut self) -> bool {
        self.waiting.is_empty() && std::mem::take(&mut self.paused)
    }

    /// Sends what waits as far as there is room.
    fn flush(&mut self) {
        while let Some((room, _)) = self.waiting.front() {
            let Ok(permit) = self.intake.room.try_acquire_many(*room) else { return };
            // Whoever takes the record out gives the room back.
            permit.forget();
            if let Some((_, message)) = self.waiting.pop_front() {
                let _ = self.intake.messages.send(message);
            }
        }
    }
}

impl Message {
    const fn is_record_of(&self, of: i32) -> bool {
        matches!(self, Self::Record { partition, .. } if *partition == of)
    }
}

/// Copies a record out of librdkafka's memory.
pub(super) fn raw(message: &BorrowedMessage<'_>) -> RawRecord {
    let headers = message.headers().map(|headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| RawHeader {
            name: header.key.to_owned(),
            value: header.value.map(<[u8]>::to_vec),
        };
        headers.iter().map(header).collect()
    });
    RawRecord {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of two partitions with room for one record, into which each has put one.
    fn full() -> (Lane, tokio::sync::mpsc::UnboundedReceiver<Message>, Arc<tokio::sync::Semaphore>) {
        let (intake, messages, room) = Intake::new(1);
        let record = |partition| {
            let raw = RawRecord::default();
            (1, Message::Record { epoch: Epoch(1), partition, offset: 0, raw })
        };
        let waiting = [record(0), record(2)].into();
        let mut lane = Lane { waiting, partitions: vec![0, 2], paused: true, ..Lane::new(intake) };
        lane.flush();
        (lane, messages, room)
    }

    #[test]
    fn a_lane_goes_on_once_there_is_room_for_all_that_waits() {
        let (mut lane, _messages, room) = full();
        assert!(!lane.goes_on());
        room.add_permits(1);
        lane.flush();
        assert_eq!((lane.goes_on(), lane.goes_on()), (true, false));
    }

    #[test]
    fn a_lane_goes_on_when_all_that_waits_is_of_partitions_that_were_taken_away() {
        let (mut lane, _messages, _room) = full();
        lane.forget(2);
        assert!(lane.goes_on());
    }
}
