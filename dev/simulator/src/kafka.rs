//! A model of Kafka: a topic that may be made anew, logs whose beginning may be deleted, a group.

use std::collections::BTreeMap;

use fluxo_core::{
    Client, Position, Timestamp, TopicId, TransactionId, quarantine::Reason, transaction::Draft,
};
use fluxo_listener::{kafka::Identity, sink::Fetched};
use fluxo_store::record::{Content, Entry, RawRecord};
use uuid::Uuid;

/// How many partitions the topic has.
pub(crate) const PARTITIONS: i32 = 3;
/// The version that listeners know only once they were upgraded.
const NEWER: u64 = 2;

/// The topic.
pub(crate) struct Kafka {
    /// How often it was made.
    pub(crate) incarnation: u32,
    pub(crate) logs: Vec<Log>,
    /// What its group has committed: a copy, for lag tools.
    pub(crate) copy: BTreeMap<i32, i64>,
    /// Ids that were sent, to be sent again.
    sent: Vec<(u64, u8, i64)>,
    next_id: u64,
}

/// A partition.
#[derive(Default)]
pub(crate) struct Log {
    /// The first offset that was not deleted.
    pub(crate) start: i64,
    /// By offset, deleted ones included.
    pub(crate) records: Vec<Record>,
}

/// A record.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) content: Content,
    /// Whether a listener must be upgraded to know it.
    pub(crate) newer: bool,
}

impl Kafka {
    pub(crate) fn new() -> Self {
        let (incarnation, copy) = (0, BTreeMap::new());
        Self { incarnation, logs: logs(), copy, sent: Vec::new(), next_id: 1 }
    }

    pub(crate) fn identity(&self) -> Identity {
        let partitions = usize::try_from(PARTITIONS).expect("it is few");
        Identity { cluster_id: "cluster".into(), topic_id: topic_id(self.incarnation), partitions }
    }

    pub(crate) fn log(&self, partition: i32) -> &Log {
        &self.logs[index(partition)]
    }

    /// The topic is deleted, and made again.
    pub(crate) fn make_anew(&mut self) {
        self.incarnation += 1;
        self.logs = logs();
        self.copy.clear();
    }

    /// The record at a position as a listener decodes it.
    pub(crate) fn decoded(&self, position: Position, upgraded: bool) -> Option<Fetched> {
        let log = self.log(position.partition);
        let offset = usize::try_from(position.offset).ok()?;
        let record = log.records.get(offset).filter(|_| position.offset >= log.start)?;
        if record.newer && !upgraded {
            let Position { partition, offset } = position;
            return Some(Fetched::Newer { partition, offset, version: NEWER });
        }
        let (content, raw) = (record.content.clone(), RawRecord::default());
        Some(Fetched::Entry(Box::new(Entry { position, content, raw })))
    }

    /// A client sends something: most often a new transaction, else one that was sent before, in the same words or in
    /// others, or what is none at all.
    pub(crate) fn produce(&mut self, rng: &mut fastrand::Rng, now: Timestamp) {
        let newer = rng.u8(..) < 2;
        let (id, account, amount) = match rng.u8(..) {
            0..40 if !self.sent.is_empty() => {
                let (id, account, amount) = self.sent[rng.usize(..self.sent.len())];
                match rng.u8(..8) {
                    0 => (id, account, if amount.abs() > 1 { amount - amount.signum() } else { 2 * amount }),
                    1 => (id, rng.u8(..6), amount),
                    _ => (id, account, amount),
                }
            }
            _ => {
                self.next_id += 1;
                // Some are so large that a balance of several leaves what can be kept.
                let amount = if rng.u8(..) < 16 { 1_000_000_000_000_000 } else { rng.i64(1..1_000) };
                let sign = if rng.bool() { 1 } else { -1 };
                (self.next_id, rng.u8(..6), sign * amount)
            }
        };
        let content = match rng.u8(..) {
            0..4 => Content::Refused(Reason::NotOurs),
            4..6 => Content::Refused(Reason::KeyMismatch),
            _ => {
                self.sent.push((id, account, amount));
                accepted(id, account, amount, now)
            }
        };
        // Rarely, an account is in another partition than its own: somebody has added partitions.
        let home = i32::from(account) % PARTITIONS;
        let partition = if rng.u8(..) < 8 { rng.i32(0..PARTITIONS) } else { home };
        self.logs[index(partition)].records.push(Record { content, newer });
    }
}

impl Log {
    /// The offset after the last record.
    pub(crate) fn end(&self) -> i64 {
        i64::try_from(self.records.len()).expect("a run is short")
    }
}

pub(crate) fn topic_id(incarnation: u32) -> TopicId {
    TopicId::parse(&format!("topic{incarnation}")).expect("it is one")
}

pub(crate) fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("partitions are counted from 0")
}

fn logs() -> Vec<Log> {
    (0..PARTITIONS).map(|_| Log::default()).collect()
}

fn accepted(id: u64, account: u8, amount: i64, now: Timestamp) -> Content {
    let (account, minor) = (format!("conta-{account}"), amount.unsigned_abs().max(1).to_string());
    let draft = Draft {
        account: Some(&account),
        kind: Some(if amount < 0 { "saida" } else { "entrada" }),
        amount: Some(&minor),
        currency: Some("JPY"),
        ..Draft::default()
    };
    let id = TransactionId::from(Uuid::from_u128(u128::from(id)));
    let client = Client::parse("erp").expect("it is a name");
    let submission = draft.parse().expect("it is a transaction");
    Content::Accepted(Box::new(submission.accept(id, client, now)))
}
