//! What the loop looks at, and what it saw: the one thing that it shares with reconcile.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::channel::mpsc::UnboundedSender;
use jiff::SignedDuration;
use kube::runtime::reflector::ObjectRef;

use super::{Report, report};
use crate::{
    crd::{self, TransactionPipeline},
    identity::Identity,
    kafka::Connection,
    lag::Unknown,
    scaling::{Decision, History, Learned, Policy, Rate, Reason},
};

/// What the loop needs to know of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How its Kafka is reached.
    pub connection: Connection,
    /// Its consumer group.
    pub group: String,
    /// Its topic of transactions.
    pub topic: String,
    /// What is wanted of the number of listeners.
    pub policy: Policy,
    /// Name of the listeners' Deployment.
    pub deployment: String,
    /// Whether a decision is written. A paused pipeline is looked at only.
    pub writes: bool,
}

/// Every pipeline that is looked at. Clones are the same.
#[derive(Clone, Debug)]
pub struct Board {
    pipelines: Arc<Mutex<HashMap<Identity, Pipeline>>>,
    news: UnboundedSender<ObjectRef<TransactionPipeline>>,
}

#[derive(Debug)]
struct Pipeline {
    target: Arc<Target>,
    watched: Arc<tokio::sync::Mutex<Watched>>,
    report: Option<Report>,
    /// When it has its next turn; `None` while it has one.
    due: Option<Instant>,
}

/// What was seen of a pipeline before.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) began: Instant,
    pub(super) history: History,
    /// What was written, and when, until it is seen.
    pub(super) wrote: Option<(u32, Instant)>,
    pub(super) oldest: Option<Duration>,
    pub(super) age_at: Option<Instant>,
    /// When anything was last read, written or to be read; `None` as long as nothing was seen to be.
    pub(super) moved_at: Option<Instant>,
    end: Option<i64>,
    decision: Option<Decision>,
    decisions: VecDeque<crd::Decision>,
    published_at: Option<Instant>,
    /// Why the number of listeners could not be written; `None` once it was, or is as decided.
    pub(super) refusal: Option<Refusal>,
}

/// Why a number could not be written.
#[derive(Debug)]
pub(super) struct Refusal {
    why: String,
    /// When that was logged.
    logged_at: Instant,
}

/// How often it is logged that a number can still not be written: it is tried at each turn.
const REFUSAL_LOGGED: Duration = Duration::from_mins(1);

impl Board {
    /// An empty one, which tells of news by a channel.
    pub fn new(news: UnboundedSender<ObjectRef<TransactionPipeline>>) -> Self {
        Self { pipelines: Arc::default(), news }
    }

    /// This pipeline is to be looked at. `decisions` are those of its status, the newest first: they outlive the
    /// process, and with them what a listener was seen to reach and what was changed within an hour.
    pub fn put(&self, identity: Identity, target: Target, decisions: &[crd::Decision]) {
        let mut pipelines = self.lock();
        if let Some(pipeline) = pipelines.get_mut(&identity) {
            if *pipeline.target != target {
                pipeline.target = Arc::new(target);
            }
            return;
        }
        let watched = Arc::new(tokio::sync::Mutex::new(Watched::new(decisions, jiff::Timestamp::now())));
        let pipeline =
            Pipeline { target: Arc::new(target), watched, report: None, due: Some(Instant::now()) };
        pipelines.insert(identity, pipeline);
    }

    /// Nothing is to be written for this pipeline until it is put again; it is looked at all the same.
    pub fn pause(&self, identity: &Identity) {
        if let Some(pipeline) = self.lock().get_mut(identity) {
            Arc::make_mut(&mut pipeline.target).writes = false;
        }
    }

    /// All that are looked at.
    pub fn identities(&self) -> Vec<Identity> {
        self.lock().keys().cloned().collect()
    }

    /// This pipeline is not to be looked at any more.
    pub fn remove(&self, identity: &Identity) {
        self.lock().remove(identity);
    }

    /// How its Kafka was last reached.
    pub fn connection(&self, identity: &Identity) -> Option<Connection> {
        Some(self.lock().get(identity)?.target.connection.clone())
    }

    /// What was last seen of it; `None` before it was looked at.
    pub fn report(&self, identity: &Identity) -> Option<Report> {
        self.lock().get(identity)?.report.clone()
    }

    /// The connections that are used.
    pub(super) fn connections(&self) -> HashSet<Connection> {
        self.lock().values().map(|pipeline| pipeline.target.connection.clone()).collect()
    }

    /// Those whose turn it is. Each has it until it is [done](Self::done).
    pub(super) fn due(&self, now: Instant) -> Vec<(Identity, Arc<Target>, Arc<tokio::sync::Mutex<Watched>>)> {
        let mut pipelines = self.lock();
        let due = pipelines.iter_mut().filter(|(_, pipeline)| pipeline.due.is_some_and(|due| due <= now));
        due.map(|(identity, pipeline)| {
            pipeline.due = None;
            (identity.clone(), Arc::clone(&pipeline.target), Arc::clone(&pipeline.watched))
        })
        .collect()
    }

    /// It had its turn.
    pub(super) fn done(&self, identity: &Identity, next: Instant) {
        if let Some(pipeline) = self.lock().get_mut(identity) {
            pipeline.due = Some(next);
        }
    }

    /// Tells what was seen, if that is news. Whether it was.
    pub(super) fn publish(&self, identity: &Identity, watched: &mut Watched) -> bool {
        let Some(decision) = &watched.decision else { return false };
        // At the start of a process, what was said before is still better than that nothing is known yet.
        if decision.reason == Reason::Unknown(Unknown::NotAsked) {
            return false;
        }
        let mut pipelines = self.lock();
        let Some(pipeline) = pipelines.get_mut(identity) else { return false };
        let decisions: Vec<_> = watched.decisions.iter().cloned().collect();
        let refusal = watched.refusal.as_ref().map(|refusal| refusal.why.as_str());
        let report = Report::new(decision, watched.oldest, decisions, refusal);
        let since = watched.published_at.map(|at| at.elapsed());
        if !report::is_news(pipeline.report.as_ref(), &report, since) {
            return false;
        }
        pipeline.report = Some(report);
        watched.published_at = Some(Instant::now());
        // Nobody listens any more when the process ends.
        let _ = self.news.unbounded_send(ObjectRef::new(&identity.name).within(&identity.namespace));
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Pipeline>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// `decisions` are those that the process before left, the newest first, and `now` is the time by which they say
    /// when they were made.
    fn new(decisions: &[crd::Decision], now: jiff::Timestamp) -> Self {
        // What was recommended changed nothing.
        let changes =
            decisions.iter().filter(|decision| decision.reason != crd::Reason::Recommending.as_str());
        let ages =
            changes.map(|change| now.duration_since(change.at.0).max(SignedDuration::ZERO).unsigned_abs());
        let learned = decisions.iter().find_map(|decision| decision.inputs.kept_per_second_and_replica);
        let learned = learned.and_then(|rate| u64::try_from(rate).ok()).filter(|rate| *rate > 0);
        let learned = learned.map(|rate| Learned { rate: Rate::per_second(rate) });
        Self {
            began: Instant::now(),
            history: History::new(learned, ages.rev()),
            wrote: None,
            oldest: None,
            age_at: None,
            moved_at: None,
            end: None,
            decision: None,
            decisions: decisions.iter().cloned().collect(),
            published_at: None,
            refusal: None,
        }
    }

    /// Notes whether anything moves, besides the end of the topic, which is not known now if there is none.
    pub(super) fn moved(&mut self, moves: bool, end: Option<i64>) {
        if moves || end.is_none() || self.end.is_some() && end != self.end {
            self.moved_at = Some(Instant::now());
        }
        self.end = end;
    }

    /// Notes why a number could not be written. Whether that is to be logged.
    pub(super) fn refused(&mut self, why: String, now: Instant) -> bool {
        let is_logged = |before: &Refusal| before.why == why && before.logged_at + REFUSAL_LOGGED > now;
        let logs = !self.refusal.as_ref().is_some_and(is_logged);
        if logs {
            self.refusal = Some(Refusal { why, logged_at: now });
        }
        logs
    }

    /// Keeps a decision, and lists it if it changed the number, or would have.
    pub(super) fn note(&mut self, decision: Decision, written: bool) {
        let is_new = self.decision.as_ref().is_none_or(|before| before.replicas != decision.replicas);
        if written || is_new && report::recommends_a_change(&decision) {
            self.decisions.push_front(report::decision(&decision, self.oldest));
            self.decisions.truncate(report::DECISIONS_MOST);
        }
        self.decision = Some(decision);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::scaling::{Observation, Replicas};

    #[test]
    fn a_refusal_is_logged_when_it_is_another_and_else_once_a_minute() {
        let (mut watched, began) = (Watched::new(&[], jiff::Timestamp::now()), Instant::now());
        let mut logs = |why: &str, seconds| watched.refused(why.into(), began + Duration::from_secs(seconds));
        assert!(logs("forbidden", 0));
        assert!(!logs("forbidden", 1));
        assert!(!logs("forbidden", 59));
        assert!(logs("forbidden", 60));
        assert!(!logs("forbidden", 61));
        assert!(logs("the quota is used up", 62));
        assert!(!logs("the quota is used up", 63));
    }

    #[test]
    fn what_the_process_before_changed_within_an_hour_counts() {
        let now = jiff::Timestamp::now();
        let made = |minutes: i64, reason: crd::Reason| crd::Decision {
            at: Time(now - SignedDuration::from_mins(minutes)),
            from: 1,
            to: 2,
            reason: reason.as_str().into(),
            inputs: crd::Inputs::default(),
        };
        let left = [
            // By a clock that was ahead.
            made(-1, crd::Reason::ScaledIn),
            made(20, crd::Reason::Recommending),
            made(50, crd::Reason::ScaledOut),
            made(60, crd::Reason::ScaledOut),
        ];
        let watched = Watched::new(&left, now);
        let changes = |minutes: u64| {
            let at = History::BEGINS + Duration::from_mins(minutes);
            watched.history.changes(&Observation::unknown(at, Replicas::default()))
        };
        assert_eq!([0, 9, 10, 59, 60].map(changes), [2, 2, 1, 1, 0]);
    }

    #[test]
    fn a_refusal_after_a_write_that_succeeded_is_logged() {
        let (mut watched, now) = (Watched::new(&[], jiff::Timestamp::now()), Instant::now());
        assert!(watched.refused("forbidden".into(), now));
        watched.refusal = None;
        assert!(watched.refused("forbidden".into(), now));
    }
}
