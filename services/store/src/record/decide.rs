//! How a batch becomes rows: a state machine without I/O.
//!
//! [`Recording::begin`] and [`Recording::step`] say what to ask the database next; the answer is the next step's
//! input. A writer drives it against a database, a simulator against a model of one.

use std::collections::HashMap;

use fluxo_core::{Accepted, ContentHash, Currency, Timestamp, TransactionId, quarantine::Reason};

use super::{AccountKey, Batch, Content, Entry, Tail, Tails};
use crate::Error;

/// How often a batch is tried before other writers are asked to wait: stale tails and duplicates need two.
const TRIES_BESIDE_OTHERS: u32 = 3;
/// How often a batch is tried in all.
const TRIES: u32 = 8;

/// A batch on its way to be recorded.
#[derive(Debug)]
pub struct Recording<'b> {
    batch: &'b Batch,
    now: Timestamp,
    tries: u32,
    alone: bool,
    /// The accounts in the batch, each with its tail as far as it is known.
    accounts: Vec<(AccountKey, Tail)>,
    /// For each entry that is a transaction, the place of its account in `accounts`.
    places: Vec<usize>,
    /// The rows that have an id of the batch, once they were read.
    known_contents: HashMap<TransactionId, ContentHash>,
    /// What was asked to be written last.
    plan: Option<(Vec<(AccountKey, Tail)>, Report)>,
}

/// What to ask the database.
#[derive(Debug, PartialEq)]
pub enum Ask<'b> {
    /// Take the lock that only one writer holds at a time, until the verdict.
    Alone,
    /// Read the last rows of these accounts.
    Tails(Vec<AccountKey>),
    /// Read the content hashes of the rows that have these ids.
    Contents(Vec<TransactionId>),
    /// Write this, in one transaction, with the moves of the batch.
    Write(Plan<'b>),
}

/// What the database said.
#[derive(Debug)]
pub enum Answer {
    /// The lock is held.
    Alone,
    /// The tails that there are; an account without a row is left out.
    Tails(Vec<(AccountKey, Tail)>),
    /// The contents that there are.
    Contents(Vec<(TransactionId, ContentHash)>),
    /// All of it is committed.
    Written,
    /// A unique key of a row was there already; all of it was rolled back.
    Duplicate,
    /// Not every move found its offset; all of it was rolled back.
    Fenced,
    /// The topic was not confirmed; all of it was rolled back.
    Unconfirmed,
    /// It failed.
    Failed(Error),
}

/// What is to be written.
#[derive(Debug, PartialEq)]
pub struct Plan<'b> {
    /// The rows, numbered.
    pub rows: Vec<Row<'b>>,
    /// The records that can never be a row.
    pub refused: Vec<(&'b Entry, Reason)>,
}

/// One row.
#[derive(Debug, PartialEq)]
pub struct Row<'b> {
    /// The record that it is made of.
    pub entry: &'b Entry,
    /// What the record says.
    pub accepted: &'b Accepted,
    /// Its number, the balance after it, and when it is recorded: never before the account's last.
    pub tail: Tail,
}

/// What became of a batch that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many became rows.
    pub recorded: usize,
    /// How many had been rows already.
    pub duplicates: usize,
    /// Why each that went to quarantine did.
    pub refused: Vec<Reason>,
    /// How often it was tried.
    pub tries: u32,
    /// Whether another writer was at the same accounts, so that this one had to work alone.
    pub alone: bool,
}

/// How it ended.
#[derive(Debug)]
pub enum Verdict {
    /// All of it is committed.
    Recorded(Report),
    /// Another writer has a partition of it. Nothing was written.
    Fenced,
    /// The topic was not confirmed. Nothing was written.
    Unconfirmed,
    /// Other writers were always faster. Nothing was written.
    Contended,
    /// The database failed; whether it was written is unknown.
    Failed(Error),
}

impl<'b> Recording<'b> {
    /// A batch to be recorded at a time.
    pub fn new(batch: &'b Batch, now: Timestamp) -> Self {
        Self {
            batch,
            now,
            tries: 1,
            alone: false,
            accounts: Vec::new(),
            places: Vec::with_capacity(batch.entries.len()),
            known_contents: HashMap::new(),
            plan: None,
        }
    }

    /// What to ask first.
    pub fn begin(&mut self, tails: &mut Tails) -> Ask<'b> {
        let mut missing = Vec::new();
        let mut places: HashMap<(&str, Currency), usize> = HashMap::new();
        for accepted in accepted(self.batch) {
            let transaction = &accepted.transaction;
            let place = places.entry((transaction.account.as_str(), transaction.money.currency()));
            let place = *place.or_insert_with(|| {
                let key = AccountKey::from(accepted);
                let tail = tails.recall(&key);
                if tail.is_none() {
                    missing.push(key.clone());
                }
                // One that is missing counts as one without rows until it was read.
                self.accounts.push((key, tail.unwrap_or_default()));
                self.accounts.len() - 1
            });
            self.places.push(place);
        }
        if missing.is_empty() { self.write() } else { Ask::Tails(missing) }
    }

    /// What to ask next, given what the database said.
    ///
    /// # Errors
    /// The verdict, when there is nothing more to ask.
    pub fn step(&mut self, answer: Answer, tails: &mut Tails) -> Result<Ask<'b>, Verdict> {
        match answer {
            Answer::Tails(read) => {
                let read: HashMap<_, _> = read.into_iter().collect();
                for (key, tail) in &mut self.accounts {
                    *tail = read.get(key).copied().unwrap_or(*tail);
                }
                Ok(self.write())
            }
            Answer::Contents(read) => {
                self.known_contents = read.into_iter().collect();
                Ok(self.ask_tails_anew())
            }
            Answer::Alone => {
                self.alone = true;
                Ok(self.ask_contents())
            }
            Answer::Written => {
                let (last, report) = self.plan.take().unwrap_or_default();
                for (key, tail) in last {
                    tails.remember(key, tail);
                }
                Err(Verdict::Recorded(report))
            }
            Answer::Duplicate => {
                // Either a tail is stale, or an id is there already. Both are read again, and never guessed.
                tails.forget();
                self.tries += 1;
                match self.tries {
                    tries if tries > TRIES => Err(Verdict::Contended),
                    tries if tries > TRIES_BESIDE_OTHERS && !self.alone => Ok(Ask::Alone),
                    _ => Ok(self.ask_contents()),
                }
            }
            Answer::Fenced => Err(Self::give_up(tails, Verdict::Fenced)),
            Answer::Unconfirmed => Err(Self::give_up(tails, Verdict::Unconfirmed)),
            Answer::Failed(error) => Err(Self::give_up(tails, Verdict::Failed(error))),
        }
    }

    /// What is remembered may be older than what another writer, or an unconfirmed commit, has written since.
    fn give_up(tails: &mut Tails, verdict: Verdict) -> Verdict {
        tails.forget();
        verdict
    }

    fn ask_contents(&self) -> Ask<'b> {
        let mut ids: Vec<_> = accepted(self.batch).map(|accepted| accepted.transaction.id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ask::Contents(ids)
    }

    fn ask_tails_anew(&mut self) -> Ask<'b> {
        for (_, tail) in &mut self.accounts {
            *tail = Tail::default();
        }
        Ask::Tails(self.accounts.iter().map(|(key, _)| key.clone()).collect())
    }

    /// Numbers the rows, in the order of the records.
    fn write(&mut self) -> Ask<'b> {
        let mut report = Report { tries: self.tries, alone: self.alone, ..Report::default() };
        let mut plan = Plan { rows: Vec::with_capacity(self.places.len()), refused: Vec::new() };
        let mut accounts = self.accounts.clone();
        let mut contents = self.known_contents.clone();
        let mut places = self.places.iter();
        for entry in &self.batch.entries {
            let accepted = match &entry.content {
                Content::Accepted(accepted) => accepted.as_ref(),
                Content::Refused(reason) => {
                    plan.refuse(entry, *reason, &mut report);
                    continue;
                }
            };
            let Some((_, tail)) = places.next().and_then(|place| accounts.get_mut(*place)) else { continue };
            match contents.get(&accepted.transaction.id) {
                Some(content) if *content == accepted.content_hash => report.duplicates += 1,
                Some(_) => plan.refuse(entry, Reason::Conflict, &mut report),
                None => match next(*tail, accepted, self.now) {
                    Some(after) => {
                        *tail = after;
                        contents.insert(accepted.transaction.id, accepted.content_hash);
                        plan.rows.push(Row { entry, accepted, tail: after });
                        report.recorded += 1;
                    }
                    None => plan.refuse(entry, Reason::Overflow, &mut report),
                },
            }
        }
        self.plan = Some((accounts, report));
        Ask::Write(plan)
    }
}

impl<'b> Plan<'b> {
    fn refuse(&mut self, entry: &'b Entry, reason: Reason, report: &mut Report) {
        self.refused.push((entry, reason));
        report.refused.push(reason);
    }
}

fn accepted(batch: &Batch) -> impl Iterator<Item = &Accepted> {
    batch.entries.iter().filter_map(|entry| match &entry.content {
        Content::Accepted(accepted) => Some(accepted.as_ref()),
        Content::Refused(_) => None,
    })
}

/// The tail after one more transaction; `None` when the balance would leave `i64`.
fn next(before: Tail, accepted: &Accepted, now: Timestamp) -> Option<Tail> {
    let transaction = &accepted.transaction;
    Some(Tail {
        account_seq: before.account_seq + 1,
        balance: transaction.kind.apply(before.balance, transaction.money.minor())?,
        recorded_at: Some(before.recorded_at.map_or(now, |last| last.max(now))),
    })
}

#[cfg(test)]
mod tests;
