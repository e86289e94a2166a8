//! `listener replay`: a range of the topic is read again, and what is missing is written.
//!
//! # Guarantees
//! Rows and records in quarantine that are there are not touched, and no stored offset moves. What is missing is written
//! by the same transaction as ever, but for the move of offsets: the unique keys decide, whoever else writes.
//!
//! # Caveats
//! A missing row gets the next number of its account: it is the last one now, wherever its record lies. Nothing is read
//! that the listeners have not come to: they would write it in its order.

mod range;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
};

use anyhow::Context as _;
use fluxo_core::{
    Accepted, Position, Timestamp, TopicId, TransactionId,
    kit::process,
    message::{self, Undecodable},
};
use fluxo_store::{
    Store,
    quarantine::Place,
    read::Recorded,
    record::{Batch, Content, Entry, RawRecord, Report, Topic, Writer},
};

use crate::{
    chain,
    kafka::{Oracle, Range},
    quarantine::table,
    settings::{Replay, Settings},
};

/// How many records are read, compared and written at once.
const BATCH: usize = 1_024;

/// What became of the records of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    read: usize,
    /// Rows already, of this record or of one with the same id and content.
    present: usize,
    /// In quarantine already.
    quarantined: usize,
    /// Neither.
    missing: usize,
    /// Rows now.
    written: usize,
    /// In quarantine now.
    refused: usize,
    /// Rows that say something else than their record.
    differing: usize,
    /// Of a version that this build does not read.
    newer: usize,
}

/// What is found for a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Present,
    Quarantined,
    Missing(Content),
    /// Its row differs, in these fields.
    Differs(TransactionId, Vec<&'static str>),
    Newer,
}

/// What the database holds of some records.
#[derive(Debug, Default)]
struct Known {
    quarantined: BTreeSet<i64>,
    /// By id: the row and its record's place, or `None` for a row that Fluxo never wrote.
    rows: HashMap<TransactionId, Option<(Recorded, Place)>>,
}

/// What a replay works with.
struct Replayer<'r> {
    store: Store,
    writer: Writer,
    oracle: Oracle,
    topic: Topic,
    dry_run: bool,
    tallies: BTreeMap<i32, Tally>,
    out: &'r mut dyn Write,
}

/// Reads the range again, and tells `out` what was found.
///
/// # Errors
/// When the range cannot be read or written, or rows differ from their records: then with the code
/// [`process::DIFFERING`].
pub async fn replay(settings: &Settings, wanted: &Replay, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = Store::open(&settings.database).await?;
    store.ping().await.map_err(|error| anyhow::anyhow!("{}", chain(&error)))?;
    let (topic_id, ranges) = range::find(settings, &store, wanted).await?;
    let name = settings.kafka.kafka_topic.clone();
    let mut records = Range::open(&settings.kafka, &name, &ranges)?;
    let mut replayer = Replayer {
        store,
        writer: Writer::new(settings.database.clone(), settings.listener.listener_remembered_accounts),
        oracle: Oracle::start(&settings.kafka)?,
        topic: Topic { name, id: topic_id },
        dry_run: wanted.dry_run,
        tallies: ranges.keys().map(|partition| (*partition, Tally::default())).collect(),
        out,
    };
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let read = records.next(BATCH);
            (records, read)
        });
        let read = read.await?;
        records = read.0;
        let read = read.1?;
        if read.is_empty() {
            break;
        }
        replayer.take(read).await?;
    }
    replayer.tell()
}

impl Replayer<'_> {
    async fn take(&mut self, records: Vec<(Position, RawRecord)>) -> anyhow::Result<()> {
        let mut partitions: BTreeMap<i32, Vec<(i64, RawRecord)>> = BTreeMap::new();
        for (position, raw) in records {
            partitions.entry(position.partition).or_default().push((position.offset, raw));
        }
        for (partition, records) in partitions {
            self.take_of(partition, records).await?;
        }
        Ok(())
    }

    /// Compares records of one partition with what the database holds, and writes what is missing.
    async fn take_of(&mut self, partition: i32, records: Vec<(i64, RawRecord)>) -> anyhow::Result<()> {
        let decoded: Vec<_> = records
            .into_iter()
            .map(|(offset, raw)| (offset, message::decode(raw.key.as_deref(), raw.value.as_deref()), raw))
            .collect();
        let known = self.known(partition, &decoded).await?;
        let mut tally = Tally { read: decoded.len(), ..Tally::default() };
        let mut entries = Vec::new();
        for (offset, content, raw) in decoded {
            let position = Position { partition, offset };
            match find(&Place { topic_id: self.topic.id.clone(), position }, content, &known) {
                Finding::Present => tally.present += 1,
                Finding::Quarantined => tally.quarantined += 1,
                Finding::Newer => tally.newer += 1,
                Finding::Missing(content) => entries.push(Entry { position, content, raw }),
                Finding::Differs(id, fields) => {
                    tally.differing += 1;
                    let (name, fields) = (&self.topic.name, fields.join(", "));
                    writeln!(self.out, "{name}/{partition}/{offset} differs from the row {id}: {fields}")?;
                }
            }
        }
        tally.missing = entries.len();
        if !entries.is_empty() && !self.dry_run {
            let report = self.write(entries).await?;
            tally.written = report.recorded;
            tally.refused = report.refused.len();
        }
        self.tallies.entry(partition).or_default().add(tally);
        Ok(())
    }

    async fn known(
        &self,
        partition: i32,
        records: &[(i64, Result<Accepted, Undecodable>, RawRecord)],
    ) -> anyhow::Result<Known> {
        let (Some((first, ..)), Some((last, ..))) = (records.first(), records.last()) else {
            return Ok(Known::default());
        };
        let quarantined = self.store.quarantined_between(&self.topic.id, partition, *first, *last).await?;
        let ids: Vec<_> = records
            .iter()
            .filter_map(|(_, content, _)| Some(content.as_ref().ok()?.transaction.id))
            .collect();
        Ok(Known { quarantined, rows: self.store.rows(&ids).await? })
    }

    /// Writes records as a listener would, but moves no offset.
    async fn write(&mut self, entries: Vec<Entry>) -> anyhow::Result<Report> {
        let batch = Batch { topic: self.topic.clone(), moves: Vec::new(), entries };
        let confirmed = self.oracle.confirm(self.topic.id.clone());
        let written = self.writer.record(&batch, Timestamp::now(), confirmed).await;
        written.context("a part was not written; run it again: what is written by now is found present then")
    }

    fn tell(self) -> anyhow::Result<()> {
        let heading = [
            "PARTITION",
            "READ",
            "PRESENT",
            "QUARANTINED",
            "MISSING",
            "WRITTEN",
            "REFUSED",
            "DIFFERING",
            "NEWER",
        ];
        let mut all = Tally::default();
        let mut rows = vec![heading.map(str::to_owned)];
        for (partition, tally) in &self.tallies {
            all.add(*tally);
            rows.push(tally.row(&partition.to_string()));
        }
        rows.push(all.row("all"));
        table(&rows, self.out)?;
        if all.differing > 0 {
            let reason = format!("{} records differ from their rows", all.differing);
            return Err(process::Ended { code: process::DIFFERING, reason }.into());
        }
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.read += other.read;
        self.present += other.present;
        self.quarantined += other.quarantined;
        self.missing += other.missing;
        self.written += other.written;
        self.refused += other.refused;
        self.differing += other.differing;
        self.newer += other.newer;
    }

    fn row(self, partition: &str) -> [String; 9] {
        let Self { read, present, quarantined, missing, written, refused, differing, newer } = self;
        let counts = [read, present, quarantined, missing, written, refused, differing, newer];
        let mut cells = std::iter::once(partition.to_owned()).chain(counts.map(|count| count.to_string()));
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    }
}

/// What is found for a record, by what the database holds. Pure.
fn find(place: &Place, content: Result<Accepted, Undecodable>, known: &Known) -> Finding {
    if known.quarantined.contains(&place.position.offset) {
        return Finding::Quarantined;
    }
    let accepted = match content {
        Ok(accepted) => accepted,
        Err(Undecodable::Newer(_)) => return Finding::Newer,
        Err(Undecodable::Refused(reason)) => return Finding::Missing(Content::Refused(reason)),
    };
    let id = accepted.transaction.id;
    match known.rows.get(&id) {
        Some(None) => Finding::Differs(id, vec!["a value that Fluxo never wrote"]),
        Some(Some((row, of))) if of == place => match differing(&accepted, &row.accepted) {
            fields if fields.is_empty() => Finding::Present,
            fields => Finding::Differs(id, fields),
        },
        // The row of a retry with this id.
        Some(Some((row, _))) if row.accepted.content_hash == accepted.content_hash => Finding::Present,
        // Nobody's id; or another record's, so that this one ought to be in quarantine as a conflict.
        None | Some(Some(_)) => Finding::Missing(Content::Accepted(Box::new(accepted))),
    }
}

/// The fields in which a row differs from its record. Not only the hash is compared: a row that somebody has changed
/// has its hash still.
fn differing(record: &Accepted, row: &Accepted) -> Vec<&'static str> {
    let (ours, theirs) = (&record.transaction, &row.transaction);
    [
        ("account", ours.account == theirs.account),
        ("kind", ours.kind == theirs.kind),
        ("amount", ours.money == theirs.money),
        ("description", ours.description == theirs.description),
        ("occurred_at", ours.occurred_at == theirs.occurred_at),
        ("metadata", ours.metadata == theirs.metadata),
        ("client", record.client == row.client),
        ("accepted_at", record.accepted_at == row.accepted_at),
        ("reverses", record.reverses == row.reverses),
        ("content_hash", record.content_hash == row.content_hash),
    ]
    .into_iter()
    .filter_map(|(field, same)| (!same).then_some(field))
    .collect()
}

/// The id of the topic that a range is of, and from where to where each partition is read.
type Found = (TopicId, BTreeMap<i32, (i64, i64)>);

#[cfg(test)]
mod tests;
