//! A model of the database: the three tables with their keys, transactions that hold locks, replies that get lost.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, btree_map::Entry},
    rc::Rc,
};

use fluxo_core::{ContentHash, Kind, Position, Timestamp, TopicId, TransactionId, quarantine::Reason};
use fluxo_store::{
    Error,
    offsets::{StoredOffset, StoredOffsets},
    record::{AccountKey, Answer, Batch, Content, Database, Move, Plan, Tail},
};

use crate::Mutant;

/// What is in the tables.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) offsets: StoredOffsets,
    /// Where the log of each partition began when it was first read: no column, but what a verdict rests on.
    pub(crate) begun: BTreeMap<(TopicId, i32), i64>,
    pub(crate) rows: Vec<Row>,
    ids: HashMap<TransactionId, usize>,
    accounts: BTreeMap<AccountKey, Vec<usize>>,
    pub(crate) quarantine: BTreeMap<(TopicId, Position), Reason>,
    /// Who holds the lock that one writer holds at a time.
    alone: Option<u64>,
    /// A transaction whose client is gone while its commit is on its way. Until it has ended it holds its locks.
    limbo: Vec<Limbo>,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: TransactionId,
    pub(crate) key: AccountKey,
    pub(crate) kind: Kind,
    pub(crate) minor: i64,
    pub(crate) content_hash: ContentHash,
    pub(crate) tail: Tail,
    pub(crate) topic_id: TopicId,
    pub(crate) position: Position,
}

struct Limbo {
    moves: Vec<Move>,
    change: Change,
}

/// A session that ends with its owner: then its locks are given back.
pub(crate) struct Session(pub(crate) Connection);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.tables.borrow_mut().end_session(self.0.session);
    }
}

/// What a transaction writes.
#[derive(Clone)]
struct Change {
    topic_id: TopicId,
    moves: Vec<Move>,
    rows: Vec<Row>,
    refused: Vec<(Position, Reason)>,
}

/// What goes wrong, in 256ths of all statements.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The connection is lost, or a deadlock or a lock wait ended the statement.
    pub(crate) fails: u8,
    /// The commit's reply is lost.
    pub(crate) lost_reply: u8,
    /// The client gives up on its commit, which is done or not done later.
    pub(crate) late_commit: u8,
    /// All of them fail.
    pub(crate) is_away: bool,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Its name: locks are held by connections.
    pub(crate) session: u64,
    pub(crate) tables: Rc<RefCell<Tables>>,
    pub(crate) faults: Rc<Cell<Faults>>,
    pub(crate) rng: Rc<RefCell<fastrand::Rng>>,
    pub(crate) mutant: Option<Mutant>,
    /// When the writer's clock says it is, for a mutant.
    pub(crate) now: Timestamp,
    /// The rows that were asked to be written last, for a mutant.
    pub(crate) last: Rc<RefCell<Vec<(AccountKey, Tail)>>>,
    /// What the batch says under its ids, for a mutant.
    pub(crate) said: Rc<HashMap<TransactionId, ContentHash>>,
}

impl Tables {
    /// The last row of an account.
    pub(crate) fn tail(&self, key: &AccountKey) -> Option<Tail> {
        Some(self.rows[*self.accounts.get(key)?.last()?].tail)
    }

    pub(crate) fn insert(&mut self, row: Row) {
        let place = self.rows.len();
        self.ids.insert(row.id, place);
        self.accounts.entry(row.key.clone()).or_default().push(place);
        self.rows.push(row);
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&AccountKey, impl Iterator<Item = &Row>)> {
        self.accounts.iter().map(|(key, places)| (key, places.iter().map(|place| &self.rows[*place])))
    }

    pub(crate) fn by_id(&self, id: TransactionId) -> Option<&Row> {
        self.ids.get(&id).map(|place| &self.rows[*place])
    }

    /// Whether a unique key of the row is there.
    fn has_key_of(&self, row: &Row) -> bool {
        self.ids.contains_key(&row.id)
            || self.accounts.get(&row.key).is_some_and(|places| {
                places.iter().any(|place| self.rows[*place].tail.account_seq == row.tail.account_seq)
            })
    }

    /// Whether every move of a batch finds its offset.
    fn can_move(&self, change: &Change, mutant: Option<Mutant>) -> bool {
        change.moves.iter().all(|part| {
            self.offsets.get(&part.partition).is_some_and(|stored| {
                mutant == Some(Mutant::ComparesNothing)
                    || stored.next_offset == part.from
                        && (stored.topic_id == change.topic_id || mutant == Some(Mutant::TakesAnyTopic))
            })
        })
    }

    fn move_offsets(&mut self, change: &Change) {
        for part in &change.moves {
            if let Some(stored) = self.offsets.get_mut(&part.partition) {
                stored.next_offset = part.to;
            }
        }
    }

    fn write_rows(&mut self, change: Change, mutant: Option<Mutant>) {
        for row in change.rows {
            match mutant {
                Some(Mutant::IgnoresDuplicates) if self.has_key_of(&row) => {}
                Some(Mutant::ReplacesDuplicates) if self.has_key_of(&row) => self.replace(row),
                _ => self.insert(row),
            }
        }
        if mutant != Some(Mutant::DropsRefused) {
            let refused = change.refused.into_iter();
            self.quarantine
                .extend(refused.map(|(position, reason)| ((change.topic_id.clone(), position), reason)));
        }
    }

    fn replace(&mut self, new: Row) {
        let taken = |row: &Row| {
            row.id == new.id || row.key == new.key && row.tail.account_seq == new.tail.account_seq
        };
        if let Some(row) = self.rows.iter_mut().find(|row| taken(row)) {
            *row = Row { id: row.id, key: row.key.clone(), ..new };
        }
    }

    /// Whether a transaction in limbo holds a lock that a change needs.
    fn is_locked_for(&self, change: &Change) -> bool {
        self.limbo.iter().any(|limbo| {
            let theirs = &limbo.change;
            limbo.moves.iter().any(|part| change.moves.iter().any(|own| own.partition == part.partition))
                || change.rows.iter().any(|row| {
                    theirs.rows.iter().any(|their| {
                        their.id == row.id
                            || their.key == row.key && their.tail.account_seq == row.tail.account_seq
                    })
                })
        })
    }

    /// A transaction in limbo ends, one way or the other.
    pub(crate) fn end_limbo(&mut self, rng: &mut fastrand::Rng) {
        if !self.limbo.is_empty() {
            let limbo = self.limbo.swap_remove(rng.usize(..self.limbo.len()));
            if rng.bool() {
                self.move_offsets(&limbo.change);
                self.write_rows(limbo.change, None);
            }
        }
    }

    pub(crate) fn has_limbo(&self) -> bool {
        !self.limbo.is_empty()
    }

    /// A connection has ended: its locks are given back.
    fn end_session(&mut self, session: u64) {
        if self.alone == Some(session) {
            self.alone = None;
        }
    }

    /// Gives partitions without an offset their first one. Their logs begin at these offsets.
    pub(crate) fn begin_offsets(&mut self, begun: BTreeMap<i32, (StoredOffset, i64)>) {
        for (partition, (stored, start)) in begun {
            if let Entry::Vacant(vacant) = self.offsets.entry(partition) {
                self.begun.entry((stored.topic_id.clone(), partition)).or_insert(start);
                vacant.insert(stored);
            }
        }
    }
}

impl Connection {
    /// A statement is under way: others may be done meanwhile, and it may fail.
    pub(crate) async fn statement(&self) -> Result<(), Error> {
        turn().await;
        let faults = self.faults.get();
        if faults.is_away || self.rng.borrow_mut().u8(..) < faults.fails { Err(lost()) } else { Ok(()) }
    }

    fn happens(&self, in_256: u8) -> bool {
        self.rng.borrow_mut().u8(..) < in_256
    }

    fn change(&self, batch: &Batch, plan: &Plan<'_>) -> Change {
        let row = |row: &fluxo_store::record::Row<'_>| {
            let mut tail = row.tail;
            if self.mutant == Some(Mutant::TrustsTheClock) {
                tail.recorded_at = Some(self.now);
            }
            Row {
                id: row.accepted.transaction.id,
                key: AccountKey::from(row.accepted),
                kind: row.accepted.transaction.kind,
                minor: row.accepted.transaction.money.minor(),
                content_hash: row.accepted.content_hash,
                tail,
                topic_id: batch.topic.id.clone(),
                position: row.entry.position,
            }
        };
        Change {
            topic_id: batch.topic.id.clone(),
            moves: batch.moves.clone(),
            rows: plan.rows.iter().map(row).collect(),
            refused: plan.refused.iter().map(|(entry, reason)| (entry.position, *reason)).collect(),
        }
    }
}

impl Database for Connection {
    async fn lock(&self) -> Result<(), Error> {
        // It is a courtesy: after a while it is done without.
        for _ in 0..4 {
            self.statement().await?;
            let mut tables = self.tables.borrow_mut();
            if tables.alone.is_none() {
                tables.alone = Some(self.session);
                break;
            }
        }
        Ok(())
    }

    async fn unlock(&self) {
        self.tables.borrow_mut().end_session(self.session);
    }

    async fn tails(&self, keys: &[AccountKey]) -> Result<Vec<(AccountKey, Tail)>, Error> {
        self.statement().await?;
        let tables = self.tables.borrow();
        Ok(keys.iter().filter_map(|key| Some((key.clone(), tables.tail(key)?))).collect())
    }

    async fn contents(&self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, ContentHash)>, Error> {
        self.statement().await?;
        let tables = self.tables.borrow();
        let hash = |id| {
            let there = tables.by_id(id)?.content_hash;
            let said = self.said.get(&id).filter(|_| self.mutant == Some(Mutant::ComparesIdsOnly));
            Some((id, said.copied().unwrap_or(there)))
        };
        Ok(ids.iter().copied().filter_map(hash).collect())
    }

    async fn write(
        &self,
        batch: &Batch,
        plan: &Plan<'_>,
        confirmed: impl Future<Output = bool>,
    ) -> Result<Answer, Error> {
        self.statement().await?;
        let mutant = self.mutant;
        let change = self.change(batch, plan);
        *self.last.borrow_mut() = change.rows.iter().map(|row| (row.key.clone(), row.tail)).collect();
        if !confirmed.await {
            return Ok(Answer::Unconfirmed);
        }
        // Who waits for a lock too long is ended.
        let mut patience = 4;
        while self.tables.borrow().is_locked_for(&change) {
            patience -= 1;
            if patience == 0 {
                return Err(lost());
            }
            self.statement().await?;
        }
        // From here on the transaction is done at once, as if it held its locks all the while.
        {
            let mut tables = self.tables.borrow_mut();
            if !tables.can_move(&change, mutant) {
                return Ok(Answer::Fenced);
            }
            let hides = matches!(mutant, Some(Mutant::IgnoresDuplicates | Mutant::ReplacesDuplicates));
            if !hides && change.rows.iter().any(|row| tables.has_key_of(row)) {
                return Ok(Answer::Duplicate);
            }
            if mutant == Some(Mutant::CommitsBeforeWriting) {
                tables.move_offsets(&change);
            }
        }
        if mutant == Some(Mutant::CommitsBeforeWriting) {
            self.statement().await?;
        }
        let faults = self.faults.get();
        if self.happens(faults.late_commit) {
            self.tables.borrow_mut().limbo.push(Limbo { moves: change.moves.clone(), change });
            return Err(lost());
        }
        let mut tables = self.tables.borrow_mut();
        tables.move_offsets(&change);
        tables.write_rows(change, mutant);
        drop(tables);
        if self.happens(faults.lost_reply) { Err(lost()) } else { Ok(Answer::Written) }
    }
}

/// What a batch says under its ids.
pub(crate) fn said(batch: &Batch) -> HashMap<TransactionId, ContentHash> {
    let said = batch.entries.iter().filter_map(|entry| match &entry.content {
        Content::Accepted(accepted) => Some((accepted.transaction.id, accepted.content_hash)),
        Content::Refused(_) => None,
    });
    said.collect()
}

fn lost() -> Error {
    // Any that is tried again: the listener makes no difference between them.
    Error::Foreign { table: "any", column: "any" }
}

/// Lets everything else go on.
pub(crate) async fn turn() {
    let mut was_polled = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut was_polled, true) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
