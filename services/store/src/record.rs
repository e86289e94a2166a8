//! The one SQL transaction that turns a batch of records into rows, exactly once.
//!
//! In it a batch moves each partition's offset by compare-and-set, inserts its rows, each with the next number and the
//! running balance of its account, and puts into quarantine what can never be a row. All of it holds or none.
//!
//! `decide` is the state machine that says what to ask the database and what to write; it does no I/O and has no
//! clock. `tails` is what it remembers of accounts, which may be stale and can do no harm. `write` holds
//! the statements. [`drive`] lets the first ask a [`Database`], which may be a model of one; [`Writer`] has a real one.

mod batch;
mod decide;
mod tails;
mod write;

use std::{num::NonZeroUsize, time::Duration};

use fluxo_core::{ContentHash, Timestamp, TransactionId, settings::DatabaseSettings};
use futures::FutureExt;

pub use batch::{Batch, Content, Entry, Move, RawHeader, RawRecord, Topic};
pub use decide::{Answer, Ask, Plan, Recording, Report, Row, Verdict};
pub use tails::{AccountKey, Tail, Tails};
pub(crate) use write::KEYS_MAX;

use crate::{Error, Store};

/// How long a batch may take, waiting for locks and for the topic's confirmation included.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a batch was not recorded. Nothing of it was, unless it says that this is unknown.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// A partition's offset or topic is not what the batch starts from: another writer has it, or this batch was
    /// recorded already. Read the offsets and go on from there.
    #[error("another writer has moved a partition of the batch")]
    Fenced,
    /// What the batch was read from was not confirmed to be the topic that it is to be recorded for.
    #[error("the topic of the batch was not confirmed")]
    Unconfirmed,
    /// Other writers were faster on the same accounts, again and again. Trying again later is safe.
    #[error("other writers hold the accounts of the batch")]
    Contended,
    /// The database failed. Whether the batch was recorded is unknown: the offsets tell.
    #[error("the database failed")]
    Database(#[source] Error),
}

/// Records batches on a connection of its own. Not shared: one writer, one connection, one memory of tails.
#[derive(Debug)]
pub struct Writer {
    settings: DatabaseSettings,
    store: Option<Store>,
    tails: Tails,
}

impl Writer {
    /// A writer that remembers the tails of at most `accounts` accounts. It connects when it is first used.
    pub fn new(settings: DatabaseSettings, accounts: NonZeroUsize) -> Self {
        Self { settings, store: None, tails: Tails::new(accounts) }
    }

    /// Records a batch.
    ///
    /// # Guarantees
    /// When it returns `Ok`, everything of the batch is committed: each entry is exactly one row, a copy of one, or in
    /// quarantine, and the offsets have moved. `confirmed` was awaited before the commit, and had said yes.
    ///
    /// # Assumptions
    /// The entries of a partition are in order, and lie between its move's ends.
    ///
    /// # Errors
    /// [`NotRecorded`]; the connection is then made anew, so that nothing of the failed transaction is left.
    pub async fn record(
        &mut self,
        batch: &Batch,
        now: Timestamp,
        confirmed: impl Future<Output = bool>,
    ) -> Result<Report, NotRecorded> {
        let store = match &self.store {
            Some(store) => store.clone(),
            None => Store::open_pool(&self.settings, 1).await.map_err(NotRecorded::Database)?,
        };
        self.store = None;
        let driven = drive(&store, batch, &mut self.tails, now, confirmed);
        let recorded = tokio::time::timeout(RECORD_TIMEOUT, driven).await.unwrap_or_else(|_| {
            // The connection may be dead without saying so.
            self.tails.forget();
            let late = sea_orm::DbErr::Custom(format!("no answer in {} s", RECORD_TIMEOUT.as_secs()));
            Err(NotRecorded::Database(Error::Unreachable(late)))
        });
        match &recorded {
            Ok(_) | Err(NotRecorded::Fenced | NotRecorded::Contended | NotRecorded::Unconfirmed) => {
                self.store = Some(store);
            }
            // The connection may still be in the middle of something: it is not used again.
            Err(NotRecorded::Database(_)) => store.close().await,
        }
        recorded
    }
}

/// What the state machine asks: a database, or a model of one.
#[allow(
    async_fn_in_trait,
    reason = "whoever drives it knows which one it is, and so whether its futures are Send"
)]
pub trait Database {
    /// Takes the lock that one writer holds at a time.
    ///
    /// # Errors
    /// When it fails.
    async fn lock(&self) -> Result<(), Error>;

    /// Gives that lock back. One that cannot be given back ends with its connection.
    async fn unlock(&self);

    /// Reads the last rows of accounts; one without a row is left out.
    ///
    /// # Errors
    /// When it fails.
    async fn tails(&self, keys: &[AccountKey]) -> Result<Vec<(AccountKey, Tail)>, Error>;

    /// Reads the content hashes of the rows that have one of the ids.
    ///
    /// # Errors
    /// When it fails.
    async fn contents(&self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, ContentHash)>, Error>;

    /// Writes a plan and the moves of its batch in one transaction, if `confirmed` says yes before its end.
    ///
    /// # Errors
    /// When it fails; whether it was written is then unknown.
    async fn write(
        &self,
        batch: &Batch,
        plan: &Plan<'_>,
        confirmed: impl Future<Output = bool>,
    ) -> Result<Answer, Error>;
}

impl Database for Store {
    async fn lock(&self) -> Result<(), Error> {
        write::lock(self).await
    }

    async fn unlock(&self) {
        let _ = write::unlock(self).await;
    }

    async fn tails(&self, keys: &[AccountKey]) -> Result<Vec<(AccountKey, Tail)>, Error> {
        write::read_tails(self, keys).await
    }

    async fn contents(&self, ids: &[TransactionId]) -> Result<Vec<(TransactionId, ContentHash)>, Error> {
        write::read_contents(self, ids).await
    }

    async fn write(
        &self,
        batch: &Batch,
        plan: &Plan<'_>,
        confirmed: impl Future<Output = bool>,
    ) -> Result<Answer, Error> {
        write::write(self, batch, plan, confirmed).await
    }
}

/// Asks the state machine, does what it says, and answers, until it has a verdict.
///
/// # Errors
/// [`NotRecorded`].
pub async fn drive(
    database: &impl Database,
    batch: &Batch,
    tails: &mut Tails,
    now: Timestamp,
    confirmed: impl Future<Output = bool>,
) -> Result<Report, NotRecorded> {
    let confirmed = confirmed.shared();
    let mut alone = false;
    let mut recording = Recording::new(batch, now);
    let mut ask = recording.begin(tails);
    let verdict = loop {
        let answer = match &ask {
            Ask::Alone => {
                alone = true;
                database.lock().await.map(|()| Answer::Alone)
            }
            Ask::Tails(keys) => database.tails(keys).await.map(Answer::Tails),
            Ask::Contents(ids) => database.contents(ids).await.map(Answer::Contents),
            Ask::Write(plan) => database.write(batch, plan, confirmed.clone()).await,
        };
        let answer = answer.unwrap_or_else(Answer::Failed);
        match recording.step(answer, tails) {
            Ok(next) => ask = next,
            Err(verdict) => break verdict,
        }
    };
    if alone {
        database.unlock().await;
    }
    match verdict {
        Verdict::Recorded(report) => Ok(report),
        Verdict::Fenced => Err(NotRecorded::Fenced),
        Verdict::Unconfirmed => Err(NotRecorded::Unconfirmed),
        Verdict::Contended => Err(NotRecorded::Contended),
        Verdict::Failed(error) => Err(NotRecorded::Database(error)),
    }
}
