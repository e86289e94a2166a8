//! The comparison: what clients were told, what is on the topic, and what is in the tables.
//!
//! The topic alone decides what the tables must have, so they are compared row by row, with every number and every
//! balance. What was told decides what the topic must have, may have, and must not have.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    history::{Posted, Told},
    tables::{Quarantined, Row},
    topic::{Position, Record},
};

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// It was accepted, or is on the topic, and is not where it belongs.
    Lost,
    /// It is there more than once.
    Doubled,
    /// It stands before one that was accepted before it was sent, or has another number than its place on the topic.
    Reordered,
    /// Nobody posted it.
    Phantom,
    /// An amount or a balance is not what it should be.
    Miscounted,
    /// A client was told something else than what is.
    ToldWrongly,
}

impl Wrong {
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Lost, "lost"),
        (Self::Doubled, "doubled"),
        (Self::Reordered, "reordered"),
        (Self::Phantom, "phantoms"),
        (Self::Miscounted, "miscounted"),
        (Self::ToldWrongly, "told wrongly"),
    ];
}

/// Each fault that was found, with words.
pub(crate) type Findings = Vec<(Wrong, String)>;

/// Everything that came before, as far as it counts for what comes.
#[derive(Default)]
pub(crate) struct Model {
    /// What each id stands for.
    contents: HashMap<Uuid, String>,
    /// The number and the balance of the last row of each account.
    tails: HashMap<String, (i64, i64)>,
    /// What nobody was told to be accepted: it may come late if the outcome was unknown, and never if not.
    open: HashMap<String, Posted>,
    quarantine: BTreeMap<Position, &'static str>,
    /// What the dead-letter topic has.
    dead: BTreeSet<Position>,
}

/// What a round has added.
pub(crate) struct Round<'a> {
    pub(crate) history: Vec<Posted>,
    pub(crate) topic: &'a [Record],
    /// What the dead-letter topic has got.
    pub(crate) dead_letters: &'a [Record],
    /// The positions of records that no api wrote.
    pub(crate) foreign: &'a HashSet<Position>,
    pub(crate) rows: &'a [Row],
    /// All that is in quarantine, of earlier rounds too.
    pub(crate) quarantine: &'a [Quarantined],
}

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) findings: Findings,
    /// Records of the topic whose id was there before, with the same content.
    pub(crate) duplicates: usize,
    /// Transactions whose outcome was unknown, and which are there.
    pub(crate) unknown_and_there: usize,
    /// Records that went to quarantine.
    pub(crate) quarantined: usize,
}

/// As the api writes it; read here without any of its code.
#[derive(Deserialize)]
struct Message {
    id: Uuid,
    account: String,
    kind: String,
    amount: String,
    content_hash: String,
    description: Option<String>,
}

/// What the topic says that there must be.
struct Expected {
    rows: BTreeMap<Position, Row>,
    /// The first record of each transaction, and its id.
    first: HashMap<String, (Position, Uuid)>,
}

impl Model {
    /// Compares what a round has added.
    pub(crate) fn judge(&mut self, round: Round<'_>) -> Verdict {
        let Round { history, topic, dead_letters, foreign, rows, quarantine } = round;
        let mut verdict = Verdict::default();
        let before = self.quarantine.len();
        let posted: HashMap<_, _> = history.into_iter().map(|posted| (posted.tag.clone(), posted)).collect();
        let expected = self.expect(&posted, topic, foreign, &mut verdict);
        let unknown = |tag: &String| posted.get(tag).is_some_and(|posted| posted.told == Told::Unknown);
        verdict.unknown_and_there = expected.first.keys().filter(|tag| unknown(tag)).count();
        verdict.quarantined = self.quarantine.len() - before;
        told(&posted, &expected, &mut verdict.findings);
        in_order(&posted, &expected, &mut verdict.findings);
        compare_rows(expected.rows, rows, &mut verdict.findings);
        compare_quarantine(&self.quarantine, quarantine, &mut verdict.findings);
        self.compare_dead_letters(dead_letters, &mut verdict.findings);
        self.open.extend(
            posted
                .into_iter()
                .filter(|(tag, posted)| posted.told != Told::Accepted && !expected.first.contains_key(tag)),
        );
        verdict
    }

    /// What must be in the tables, and whether all of it was posted.
    fn expect(
        &mut self,
        posted: &HashMap<String, Posted>,
        topic: &[Record],
        foreign: &HashSet<Position>,
        verdict: &mut Verdict,
    ) -> Expected {
        let mut expected = Expected { rows: BTreeMap::new(), first: HashMap::new() };
        for Record { position, key, value, .. } in topic {
            if foreign.contains(position) {
                let mismatched = serde_json::from_slice::<Message>(value).is_ok();
                self.quarantine.insert(*position, if mismatched { "key_mismatch" } else { "not_ours" });
                continue;
            }
            let message = serde_json::from_slice::<Message>(value);
            let Ok(message) = message.map_err(|error| {
                verdict.findings.push((Wrong::Phantom, format!("{position:?} is no message: {error}")));
            }) else {
                continue;
            };
            let tag = message.description.clone().unwrap_or_default();
            if let Some(wrong) = self.is_of(&message, key, posted.get(&tag), &expected) {
                verdict.findings.push((wrong, format!("{tag} at {position:?}, id {}", message.id)));
            }
            expected.first.entry(tag).or_insert((*position, message.id));
            match self.contents.get(&message.id) {
                Some(content) if *content == message.content_hash => verdict.duplicates += 1,
                Some(_) => drop(self.quarantine.insert(*position, "conflict")),
                None => drop(expected.rows.insert(*position, self.row(message, *position))),
            }
        }
        expected
    }

    /// Whether a message is what was posted under its tag; if not, what is wrong.
    fn is_of(
        &self,
        message: &Message,
        key: &[u8],
        posted: Option<&Posted>,
        expected: &Expected,
    ) -> Option<Wrong> {
        let tag = message.description.clone().unwrap_or_default();
        let Some(posted) = posted.or_else(|| self.open.get(&tag)) else { return Some(Wrong::Phantom) };
        if posted.account != message.account || key != message.account.as_bytes() {
            return Some(Wrong::Phantom);
        }
        if minor(message) != Some(posted.minor) {
            return Some(Wrong::Miscounted);
        }
        if posted.told == Told::NotTaken {
            return Some(Wrong::ToldWrongly);
        }
        if posted.id.is_some_and(|id| id != message.id) {
            return Some(Wrong::ToldWrongly);
        }
        match expected.first.get(&tag) {
            Some((_, other)) if *other != message.id => Some(Wrong::Doubled),
            _ => None,
        }
    }

    /// All that is in quarantine is on the dead-letter topic, and nothing else.
    fn compare_dead_letters(&mut self, dead_letters: &[Record], findings: &mut Findings) {
        for Record { position, origin, .. } in dead_letters {
            match origin.filter(|origin| self.quarantine.contains_key(origin)) {
                Some(origin) => drop(self.dead.insert(origin)),
                None => {
                    findings.push((Wrong::Phantom, format!("{position:?} is the dead letter of nothing")));
                }
            }
        }
        for position in self.quarantine.keys().filter(|position| !self.dead.contains(position)) {
            findings.push((Wrong::Lost, format!("{position:?} is no dead letter")));
        }
    }

    /// The row that a message must become, as the next of its account.
    fn row(&mut self, message: Message, position: Position) -> Row {
        let minor = minor(&message).unwrap_or_default();
        let (account_seq, balance) = self.tails.entry(message.account.clone()).or_default();
        *account_seq += 1;
        *balance += minor;
        let row = Row {
            id: message.id,
            account: message.account,
            account_seq: *account_seq,
            minor,
            balance_after: *balance,
            position,
        };
        self.contents.insert(message.id, message.content_hash);
        row
    }
}

fn minor(message: &Message) -> Option<i64> {
    let minor: i64 = message.amount.replacen('.', "", 1).parse().ok()?;
    match message.kind.as_str() {
        "entrada" => Some(minor),
        "saida" => Some(-minor),
        _ => None,
    }
}

/// What was accepted is on the topic.
fn told(posted: &HashMap<String, Posted>, expected: &Expected, findings: &mut Findings) {
    for posted in posted.values().filter(|posted| posted.told == Told::Accepted) {
        if !expected.first.contains_key(&posted.tag) {
            findings.push((Wrong::Lost, format!("{} was accepted, and is not on the topic", posted.tag)));
        }
    }
}

/// What was sent after something was accepted stands after it.
fn in_order(posted: &HashMap<String, Posted>, expected: &Expected, findings: &mut Findings) {
    let mut accounts = BTreeMap::<&str, BTreeMap<Position, &Posted>>::new();
    for (tag, (position, _)) in &expected.first {
        if let Some(posted) = posted.get(tag) {
            accounts.entry(&posted.account).or_default().insert(*position, posted);
        }
    }
    for of_account in accounts.values() {
        let mut latest = 0;
        for posted in of_account.values() {
            if posted.accepted.is_some_and(|accepted| accepted < latest) {
                let what = format!("{} stands after one that was sent when it was accepted", posted.tag);
                findings.push((Wrong::Reordered, what));
            }
            latest = latest.max(posted.sent);
        }
    }
}

fn compare_rows(mut expected: BTreeMap<Position, Row>, rows: &[Row], findings: &mut Findings) {
    let ids: BTreeSet<_> = expected.values().map(|row| row.id).collect();
    for row in rows {
        let fault = match expected.remove(&row.position) {
            Some(right) if right == *row => continue,
            Some(right) if right.id != row.id => Wrong::Phantom,
            Some(right) if right.account_seq != row.account_seq => Wrong::Reordered,
            Some(_) => Wrong::Miscounted,
            None if ids.contains(&row.id) => Wrong::Doubled,
            None => Wrong::Phantom,
        };
        findings.push((fault, format!("{row:?}")));
    }
    findings.extend(expected.into_values().map(|row| (Wrong::Lost, format!("there is no row {row:?}"))));
}

fn compare_quarantine(
    expected: &BTreeMap<Position, &'static str>,
    quarantine: &[Quarantined],
    findings: &mut Findings,
) {
    let found: BTreeMap<_, _> = quarantine.iter().map(|one| (one.position, one.reason.as_str())).collect();
    for (position, reason) in expected {
        if found.get(position) != Some(reason) {
            findings.push((Wrong::Lost, format!("{position:?} is not in quarantine as {reason}")));
        }
    }
    for (position, reason) in found {
        if !expected.contains_key(&position) {
            findings.push((Wrong::Phantom, format!("{position:?} is in quarantine as {reason}")));
        }
    }
}

#[cfg(test)]
mod tests;
