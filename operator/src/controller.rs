//! Keeps what pipelines describe true: `dereference` → `validate` → `build` → `apply` → `status`.
//!
//! Reconcile assumes nothing about why it is called: it reads what there is, and what is as it should be is not
//! written again. The first and the last two steps do I/O; the two between are pure.

pub mod apply;
pub mod build;
mod delete;
pub mod dereference;
mod events;
mod failure;
pub mod model;
mod rivals;
pub mod secrets;
pub mod status;
mod target;
pub mod topics;
pub mod validate;

#[cfg(test)]
mod fixtures;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{TryFutureExt as _, try_join};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Client,
    runtime::{controller::Action, events::Recorder, reflector::Store},
};
use tokio::sync::Semaphore;

use crate::{
    autoscaler::{Board, Clusters},
    crd::{DeletionPolicy, PipelineStatus, Reason, TransactionPipeline},
    identity::Identity,
    metrics::Metrics,
};
use apply::{Applier, Children, Ledger, Migration, Outcome};
use dereference::BesideStrimzi;
use model::Installation;
use secrets::Secrets;
use status::{Facts, Phase, Writer};

/// How long one pass over a pipeline may take: an API server that is silent must not hold a place for ever.
const PASS_MOST: Duration = Duration::from_mins(1);
/// How soon a pass that failed is made again; twice as long after each further one.
const RETRY_LEAST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How soon is looked again at what is wrong and nobody tells of when it is mended: a Secret, an object of another's, a
/// topic without Strimzi, a refusal of the API server's.
const AGAIN: Duration = Duration::from_secs(5);
/// After how many passes in turn that failed the status says so: what is over in a moment is no news.
const TOLD_AFTER: u32 = 3;
/// How long telling that may take.
const TELL_MOST: Duration = Duration::from_secs(10);

/// Why a pass over a pipeline was not made to its end: it is made again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the pipeline names could not be read.
    #[error("what the pipeline names could not be read")]
    Dereference(#[source] dereference::Error),
    /// What was built could not be applied.
    #[error("what was built could not be applied")]
    Apply(#[source] apply::Error),
    /// The status could not be written.
    #[error("what there is could not be said")]
    Status(#[source] status::Error),
    /// What the pipeline has could not be deleted.
    #[error("what the pipeline has could not be deleted")]
    Delete(#[source] delete::Error),
    /// It took too long.
    #[error("the API server or Kafka did not answer within {PASS_MOST:?}")]
    TooLong,
}

/// All that reconcile works with.
pub struct Context {
    pub(crate) client: Client,
    pub(crate) installation: Installation,
    pub(crate) pipelines: Vec<Store<TransactionPipeline>>,
    pub(crate) applier: Applier,
    pub(crate) board: Board,
    beside_strimzi: BesideStrimzi,
    status: Writer,
    recorder: Recorder,
    metrics: Metrics,
    resync: Duration,
    /// One for each pass that may be under way, in all namespaces together.
    places: Semaphore,
    /// How often in turn a pass over each pipeline failed.
    failures: Mutex<HashMap<Identity, u32>>,
}

/// What a [`Context`] is made of.
#[allow(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub client: Client,
    pub installation: Installation,
    pub pipelines: Vec<Store<TransactionPipeline>>,
    pub children: Children,
    pub beside_strimzi: BesideStrimzi,
    /// Outlives the context, when this process works again after another did.
    pub ledger: Ledger,
    pub clusters: Clusters,
    pub board: Board,
    pub recorder: Recorder,
    pub metrics: Metrics,
    /// How often all is looked at again, though nothing is known to have changed.
    pub resync: Duration,
    /// How many pipelines are worked on at once.
    pub concurrency: u16,
}

impl Context {
    /// One that has done nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { client, metrics, resync, .. } = parts;
        let applier = Applier {
            client: client.clone(),
            children: parts.children,
            metrics: metrics.clone(),
            secrets: Secrets::new(client.clone()),
            ledger: parts.ledger,
            retries: apply::Retries::default(),
            topics: topics::Keeper::new(parts.clusters, resync),
        };
        Self {
            status: Writer::new(client.clone()),
            client,
            installation: parts.installation,
            pipelines: parts.pipelines,
            applier,
            board: parts.board,
            beside_strimzi: parts.beside_strimzi,
            recorder: parts.recorder,
            metrics,
            resync,
            places: Semaphore::new(usize::from(parts.concurrency)),
            failures: Mutex::default(),
        }
    }

    /// Forgets pipelines that are gone.
    pub fn sweep(&self) {
        let there: Vec<_> = self.pipelines.iter().flat_map(Store::state).collect();
        let is_there = |uid: &str| there.iter().any(|pipeline| pipeline.metadata.uid.as_deref() == Some(uid));
        let gone = self.board.identities().into_iter().filter(|pipeline| !is_there(&pipeline.uid));
        gone.for_each(|pipeline| self.forget(&pipeline));
        self.status.keep(is_there);
        self.applier.ledger.keep(is_there);
        self.applier.secrets.retain(is_there);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|pipeline, _| is_there(&pipeline.uid));
    }

    /// Forgets a pipeline.
    fn forget(&self, identity: &Identity) {
        self.board.remove(identity);
        self.applier.forget(identity);
        self.metrics.forget((&identity.namespace, &identity.name));
    }
}

/// Makes one pass over a pipeline.
///
/// # Errors
/// When the pass was not made to its end.
pub async fn reconcile(pipeline: Arc<TransactionPipeline>, context: Arc<Context>) -> Result<Action, Error> {
    // It is never closed.
    let _place = context.places.acquire().await;
    let began = Instant::now();
    let pipeline = context.status.refreshed(&pipeline);
    let identity = Identity::of(&pipeline);
    let pass = tokio::time::timeout(PASS_MOST, context.pass(&pipeline, &identity));
    let done = pass.await.unwrap_or(Err(Error::TooLong));
    context.metrics.reconciled(began.elapsed(), done.as_ref().err().map(Error::reason));
    // What is wrong may be mended in a Secret, so those are read anew when something is.
    if done.as_ref().map_or(true, |again| again.is_some_and(|after| after < context.resync)) {
        context.applier.secrets.forget(&identity);
    }
    match &done {
        Ok(_) => {
            let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.remove(&identity);
        }
        Err(error) => context.tell(&pipeline, &identity, error).await,
    }
    done.map(|again| again.map_or_else(Action::await_change, Action::requeue))
}

/// What is done about a pass that failed: another one, later and later.
#[allow(clippy::needless_pass_by_value, reason = "kube calls it so")]
pub fn error_policy(pipeline: Arc<TransactionPipeline>, error: &Error, context: Arc<Context>) -> Action {
    let identity = Identity::of(&pipeline);
    let (namespace, name) = (identity.namespace.clone(), identity.name.clone());
    let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = failures.entry(identity).or_default();
    *count = count.saturating_add(1);
    let after = backoff(*count);
    drop(failures);
    tracing::warn!(
        pipeline.namespace = namespace,
        pipeline.name = name,
        error = error as &dyn std::error::Error,
        retry_ms = after.as_millis(),
        "a pass over a pipeline failed"
    );
    Action::requeue(after)
}

fn backoff(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_LEAST.saturating_mul(doubled).min(RETRY_MOST)
}

impl Context {
    /// Does what is to be done. After what time all is to be looked at again, though nothing is known to have changed;
    /// `None` for not before it has.
    async fn pass(
        &self,
        pipeline: &TransactionPipeline,
        identity: &Identity,
    ) -> Result<Option<Duration>, Error> {
        if pipeline.metadata.deletion_timestamp.is_some() {
            return Box::pin(self.delete(pipeline, identity)).await;
        }
        if pipeline.spec.paused {
            self.board.pause(identity);
            self.say(pipeline, &Phase::Paused, &Outcome::default(), None).await?;
            return Ok(None);
        }
        self.hold_if_topics_are_to_be_deleted(pipeline).await.map_err(Error::Delete)?;
        Box::pin(self.keep(pipeline, identity)).await.map(Some)
    }

    /// The five steps.
    async fn keep(&self, pipeline: &TransactionPipeline, identity: &Identity) -> Result<Duration, Error> {
        // dereference (asks the API server)
        let known = (&self.beside_strimzi, &self.applier.secrets);
        let found =
            dereference::dereference(&self.client, known, pipeline, self.partitions(pipeline, identity));
        let found = found.map_err(Error::Dereference);
        // Not watched either, and asked for at once: the first pass takes as long as one question.
        let copy = self.applier.copy(pipeline, identity).map_err(Error::Apply);
        let (found, copy) = Box::pin(async { try_join!(found, copy) }).await?;
        let cluster = found.strimzi.as_ref().and_then(|strimzi| strimzi.kafka.as_ref().ok()?.status.as_ref());
        let cluster_id = cluster.and_then(|status| status.cluster_id.clone());

        // validate (pure)
        let validated = match validate::validate(pipeline, &found, &self.installation) {
            Ok(validated) => validated,
            Err(wrong) => {
                self.watch_lag_of_a_wrong_one(pipeline, identity, &found, &wrong);
                let there = self.applier.observe(identity).await.map_err(Error::Apply)?;
                let next = if wrong.iter().any(is_unwatched) { AGAIN.min(self.resync) } else { self.resync };
                self.say(pipeline, &Phase::Wrong(wrong), &there, cluster_id.as_deref()).await?;
                return Ok(next);
            }
        };

        // build (pure, and never fails)
        let prepared = build::build(&validated);

        // apply (asks the API server and Kafka)
        let (rival, marks) = (self.rival(pipeline), topics::Marks::of(pipeline));
        let owner = |topic_id: &str| self.owner(pipeline, topic_id);
        let request =
            topics::Request { pipeline: &validated, marks: &marks, rival: rival.as_ref(), owner: &owner };
        let mut taken = vec![];
        let applied = Box::pin(self.applier.apply(request, prepared, copy, &mut taken)).await;
        events::publish_taken(&self.recorder, pipeline, &taken).await;
        let applied = applied.map_err(Error::Apply)?;
        if applied.topics.is_of_another() {
            self.board.pause(identity);
        } else {
            self.watch_lag(pipeline, identity, validated.kafka.connection(), validated.listener.most);
        }

        // status (pure, and one request)
        self.say(pipeline, &Phase::Kept, &applied, cluster_id.as_deref()).await?;
        Ok(self.next(&applied))
    }

    /// Says what there is, if it is not what was said before.
    async fn say(
        &self,
        pipeline: &TransactionPipeline,
        phase: &Phase,
        outcome: &Outcome,
        cluster_id: Option<&str>,
    ) -> Result<(), Error> {
        let report = self.board.report(&Identity::of(pipeline));
        let facts = Facts { pipeline, phase, outcome, report: report.as_ref(), cluster_id };
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let status: PipelineStatus = status::status(facts, &Time(now));
        if self.status.write(pipeline, status.clone()).await.map_err(Error::Status)? {
            self.metrics.wrote("TransactionPipeline");
            events::publish(&self.recorder, pipeline, pipeline.status.as_ref(), &status).await;
        }
        Ok(())
    }

    /// Says that passes fail, if that goes on.
    async fn tell(&self, pipeline: &TransactionPipeline, identity: &Identity, error: &Error) {
        let failed = {
            let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.get(identity).copied().unwrap_or_default()
        };
        if failed + 1 < TOLD_AFTER {
            return;
        }
        let phase = Phase::Failing(error.condition_reason(), failure::text(error));
        let said = tokio::time::timeout(TELL_MOST, async {
            let there = self.applier.observe(identity).await.map_err(Error::Apply)?;
            self.say(pipeline, &phase, &there, None).await
        });
        let said = said.await;
        // The API server may be what fails: then the next pass says it.
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!(pipeline.name = identity.name, "that passes fail was not said");
        }
    }

    /// When all is looked at again though nothing is known to have changed.
    fn next(&self, applied: &Outcome) -> Duration {
        let topics_wait = applied.topics.all().any(|topic| topic.found != topics::Found::AsDeclared);
        let next = match &applied.migration {
            Migration::Failed { retry_in: Some(left), .. } => (*left).max(Duration::from_secs(1)),
            // Pods are not watched.
            Migration::Runs { .. } => self.resync.min(AGAIN),
            _ => self.resync,
        };
        if topics_wait || !applied.problems.is_empty() { next.min(AGAIN) } else { next }
    }
}

/// Whether nobody tells when it is mended.
fn is_unwatched(wrong: &validate::Error) -> bool {
    match wrong.reason() {
        Reason::ReferenceNotFound
        | Reason::ReferenceNotPermitted
        | Reason::ReferenceInvalid
        | Reason::AlreadyClaimed
        | Reason::NameConflict => true,
        // What it says, or what Strimzi has yet to say.
        _ => false,
    }
}

impl Error {
    /// Its name in a metric.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Apply(_) => "apply",
            Self::Status(_) => "status",
            Self::Delete(_) => "delete",
            Self::TooLong => "too_long",
        }
    }

    /// Its reason in a condition.
    const fn condition_reason(&self) -> Reason {
        match self {
            Self::Delete(delete::Error::Kafka(_)) => Reason::KafkaError,
            Self::Dereference(_) | Self::Apply(_) | Self::Status(_) | Self::Delete(_) | Self::TooLong => {
                Reason::ApiServerError
            }
        }
    }
}

/// Whether the topics go when the pipeline goes.
fn deletes_topics(pipeline: &TransactionPipeline) -> bool {
    pipeline.spec.kafka.deletion_policy == DeletionPolicy::Delete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_fails_is_made_again_later_and_later_up_to_a_most() {
        assert_eq!([1, 2, 3].map(backoff), [500, 1_000, 2_000].map(Duration::from_millis));
        assert_eq!(backoff(100), RETRY_MOST);
    }
}
