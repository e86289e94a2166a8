//! What must hold at the end: nothing lost, nothing twice, every balance the sum of its account, in order.

use std::collections::{BTreeMap, HashSet};

use fluxo_core::{Accepted, Position, TopicId, quarantine::Reason};
use fluxo_store::record::{AccountKey, Content};

use crate::{
    database::{Row, Tables},
    kafka::{Kafka, Log, topic_id},
    world::Past,
};

/// Looks whether everything holds.
pub(crate) fn all(kafka: &Kafka, tables: &Tables, past: &Past) -> Result<(), String> {
    accounts(tables)?;
    let rows: BTreeMap<(&TopicId, Position), &Row> =
        tables.rows.iter().map(|row| ((&row.topic_id, row.position), row)).collect();
    if rows.len() != tables.rows.len() {
        return Err("a record is two rows".into());
    }
    let ids: HashSet<_> = tables.rows.iter().map(|row| row.id).collect();
    if ids.len() != tables.rows.len() {
        return Err("an id is two rows".into());
    }
    let mut accounted = 0;
    for (incarnation, logs) in past.logs.iter().chain([&kafka.logs]).enumerate() {
        let incarnation = u32::try_from(incarnation).map_err(|error| error.to_string())?;
        for (partition, log) in (0..).zip(logs) {
            let checked = Checked { id: topic_id(incarnation), incarnation, partition, log, tables, past };
            accounted += checked.records(&rows)?;
        }
    }
    let there = tables.rows.len() - 1 + tables.quarantine.len();
    if accounted != there {
        return Err(format!("{there} rows and refused records, of {accounted} records"));
    }
    Ok(())
}

/// Numbers without gaps, exact balances, times that do not go back, and each partition's records in their order.
fn accounts(tables: &Tables) -> Result<(), String> {
    for (key, rows) in tables.accounts() {
        let (mut seq, mut balance, mut recorded_at) = (0, 0_i64, None);
        let mut last = BTreeMap::new();
        for row in rows {
            seq += 1;
            balance = row.kind.apply(balance, row.minor).ok_or("a balance left what can be kept")?;
            let tail = row.tail;
            if (tail.account_seq, tail.balance) != (seq, balance) {
                return Err(format!("{key:?}: row {seq} should leave {balance}: {row:?}"));
            }
            if tail.recorded_at < recorded_at {
                return Err(format!("{key:?}: row {seq} was recorded before the one before it"));
            }
            recorded_at = tail.recorded_at;
            let before = last.insert((&row.topic_id, row.position.partition), row.position.offset);
            if before.is_some_and(|before| before >= row.position.offset) {
                return Err(format!("{key:?}: row {seq} is of an earlier record than the one before it"));
            }
        }
    }
    Ok(())
}

struct Checked<'a> {
    id: TopicId,
    incarnation: u32,
    partition: i32,
    log: &'a Log,
    tables: &'a Tables,
    past: &'a Past,
}

impl Checked<'_> {
    /// Looks at every record; how many are a row or refused.
    fn records(&self, rows: &BTreeMap<(&TopicId, Position), &Row>) -> Result<usize, String> {
        let end = self.end();
        let begin = self.begin();
        let mut accounted = 0;
        for (offset, record) in (0..).zip(&self.log.records) {
            let position = Position { partition: self.partition, offset };
            let row = rows.get(&(&self.id, position));
            let refused = self.tables.quarantine.get(&(self.id.clone(), position));
            let wrong = |what: &str| Err(format!("{}/{position} {what}: {:?}", self.id, record.content));
            accounted += usize::from(row.is_some()) + usize::from(refused.is_some());
            let is_read = begin <= offset && offset < end && !self.is_given_up(offset);
            match (&record.content, row, refused) {
                (_, Some(_), Some(_)) => return wrong("is a row and refused"),
                (_, Some(_), _) | (_, _, Some(_)) if !is_read => return wrong("was written and is not read"),
                (_, None, None) if !is_read => {}
                (Content::Refused(reason), None, Some(refused)) if reason == refused => {}
                (Content::Refused(_), ..) => return wrong("is not refused as it should be"),
                (Content::Accepted(accepted), Some(row), None) => {
                    let same = row.id == accepted.transaction.id && row.content_hash == accepted.content_hash;
                    if !same {
                        return wrong("is a row that says something else");
                    }
                }
                (Content::Accepted(accepted), None, refused) => {
                    let there = self.tables.by_id(accepted.transaction.id);
                    let same = there.map(|row| row.content_hash == accepted.content_hash);
                    match (refused, same) {
                        (None, Some(true)) | (Some(Reason::Conflict), Some(false)) => {}
                        (Some(Reason::Overflow), _) if self.may_overflow(accepted) => {}
                        _ => return wrong(&format!("is lost or wrongly refused ({refused:?}, {same:?})")),
                    }
                }
            }
        }
        Ok(accounted)
    }

    /// How far it was read.
    fn end(&self) -> i64 {
        let stored = self.tables.offsets.get(&self.partition).filter(|stored| stored.topic_id == self.id);
        let past = self.past.ends.get(&(self.incarnation, self.partition)).copied();
        stored.map(|stored| stored.next_offset).or(past).unwrap_or(0)
    }
    /// Where it began to be read: where its log began then.
    fn begin(&self) -> i64 {
        self.tables.begun.get(&(self.id.clone(), self.partition)).copied().unwrap_or(0)
    }

    /// Whether a person has given a record up.
    fn is_given_up(&self, offset: i64) -> bool {
        let given_up = self.past.given_up.get(&(self.incarnation, self.partition));
        given_up.is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..*to).contains(&offset)))
    }

    /// Whether the account ever had a balance that a transaction would have made too large.
    fn may_overflow(&self, accepted: &Accepted) -> bool {
        let (key, transaction) = (AccountKey::from(accepted), &accepted.transaction);
        let mut rows =
            self.tables.accounts().filter(|(account, _)| **account == key).flat_map(|(_, rows)| rows);
        rows.any(|row| transaction.kind.apply(row.tail.balance, transaction.money.minor()).is_none())
    }
}
