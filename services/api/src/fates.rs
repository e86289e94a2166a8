//! What became of accepted ids, asked of the database by one task for all requests.
//!
//! Whoever looks ids up, or waits for one to be written, leaves a question; the task puts all that are open into one
//! query. While nobody asks, it does nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use fluxo_core::TransactionId;
use fluxo_store::read::Fate;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::database::Database;

/// How often the database is asked for ids that somebody waits for.
const POLL: Duration = Duration::from_millis(15);
/// The most ids of one query.
const IDS_MAX: usize = 1_000;
/// The most questions that are not yet read by the task.
const QUESTIONS_MAX: usize = 4_096;

/// Asks what became of ids.
#[derive(Clone, Debug)]
pub(crate) struct Fates {
    questions: mpsc::Sender<Question>,
    database: Arc<Database>,
    lookup_timeout: Duration,
}

#[derive(Debug)]
enum Question {
    /// What is known of these now.
    LookUp(Vec<TransactionId>, oneshot::Sender<HashMap<TransactionId, Fate>>),
    /// What becomes of this, once something has.
    Wait(TransactionId, oneshot::Sender<Fate>),
}

/// Those who wait, by the id that they wait for.
type Waiting = HashMap<TransactionId, Vec<oneshot::Sender<Fate>>>;
type LookUps = Vec<(Vec<TransactionId>, oneshot::Sender<HashMap<TransactionId, Fate>>)>;

/// The task that answers.
#[derive(Debug)]
pub(crate) struct Answering {
    questions: mpsc::Receiver<Question>,
    database: Arc<Database>,
}

impl Fates {
    /// Makes the asking and the answering end. A look-up is not waited for longer than `lookup_timeout`.
    pub(crate) fn new(database: Arc<Database>, lookup_timeout: Duration) -> (Self, Answering) {
        let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
        let answering = Answering { questions: receiver, database: database.clone() };
        (Self { questions: sender, database, lookup_timeout }, answering)
    }

    /// What is known of ids now. Nothing, when the database is away or slow: nobody has to wait for it.
    pub(crate) async fn look_up(&self, ids: Vec<TransactionId>) -> HashMap<TransactionId, Fate> {
        if ids.is_empty() || !self.database.is_up() {
            return HashMap::new();
        }
        let (sender, receiver) = oneshot::channel();
        if self.questions.try_send(Question::LookUp(ids, sender)).is_err() {
            return HashMap::new();
        }
        let answer = tokio::time::timeout(self.lookup_timeout, receiver).await;
        answer.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What becomes of an id within a time.
    pub(crate) async fn wait(&self, id: TransactionId, time: Duration) -> Option<Fate> {
        let (sender, receiver) = oneshot::channel();
        self.questions.try_send(Question::Wait(id, sender)).ok()?;
        tokio::time::timeout(time, receiver).await.ok()?.ok()
    }
}

impl Answering {
    /// Answers until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut waiting = Waiting::new();
        let mut next_poll = Instant::now();
        loop {
            let mut look_ups = LookUps::new();
            let question = tokio::select! {
                question = self.questions.recv() => match question {
                    Some(question) => Some(question),
                    None => return,
                },
                () = tokio::time::sleep_until(next_poll), if !waiting.is_empty() => None,
            };
            let mut next = question;
            while let Some(question) = next {
                match question {
                    Question::LookUp(ids, sender) => look_ups.push((ids, sender)),
                    Question::Wait(id, sender) => waiting.entry(id).or_default().push(sender),
                }
                next = self.questions.try_recv().ok();
            }
            let is_poll = Instant::now() >= next_poll;
            if is_poll {
                next_poll = Instant::now() + POLL;
                waiting.retain(|_, senders| {
                    senders.retain(|sender| !sender.is_closed());
                    !senders.is_empty()
                });
            }
            self.answer(look_ups, is_poll.then_some(&mut waiting)).await;
        }
    }

    async fn answer(&self, look_ups: LookUps, waiting: Option<&mut Waiting>) {
        let mut ids: HashSet<_> = look_ups.iter().flat_map(|(ids, _)| ids).copied().collect();
        let waiting = waiting.inspect(|waiting| ids.extend(waiting.keys()));
        // Without an answer, who looks up gets none, and who waits goes on waiting.
        let Some(fates) = self.fates(ids.into_iter().collect()).await else { return };
        for (ids, sender) in look_ups {
            let _ = sender.send(ids.iter().filter_map(|id| Some((*id, *fates.get(id)?))).collect());
        }
        let Some(waiting) = waiting else { return };
        for (id, fate) in &fates {
            for sender in waiting.remove(id).unwrap_or_default() {
                let _ = sender.send(*fate);
            }
        }
    }

    async fn fates(&self, ids: Vec<TransactionId>) -> Option<HashMap<TransactionId, Fate>> {
        let mut all = HashMap::new();
        for ids in ids.chunks(IDS_MAX) {
            all.extend(self.database.read(self.database.store().fates(ids)).await.ok()?);
        }
        Some(all)
    }
}
