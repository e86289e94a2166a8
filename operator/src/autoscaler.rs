//! The loop that reads the lag of every pipeline and scales its listeners: the edges around [`scaling`](crate::scaling).
//!
//! Reconcile says what to look at ([`Board::put`]) and takes what was seen ([`Board::report`]); the loop asks Kafka, with
//! a bounded number of questions at once, decides, and writes each decision once, by a field manager of its own, so
//! that reconcile and the loop never fight over a number.

mod board;
mod clusters;
mod report;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fluxo_core::kit::shutdown::Shutdown;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

pub use board::{Board, Target};
pub use clusters::Clusters;
pub use report::Report;

use crate::{
    controller::apply::Seen,
    identity::Identity,
    lag::Unknown,
    metrics::Metrics,
    scaling::{Decision, History, Observation, Replicas, decide},
};
use board::Watched;

/// Who owns `spec.replicas` of a listener's Deployment.
pub const FIELD_MANAGER: &str = "fluxo-scaler";
/// How long after a write the Deployment is taken to have the number, though it was not yet seen with it.
const WRITE_SEEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a pipeline waits for its next turn when Kafka did not answer: it took the place of others.
const AWAY: Duration = Duration::from_secs(5);
/// How long nothing is read or written in a topic until its pipeline is at rest, and how often one has its turn then:
/// its questions cost Kafka as much as those of one that is busy. One that has not moved since the start is at rest, or
/// else the questions of all of them would slow down the passes over all of them.
const RESTS_AFTER: Duration = Duration::from_mins(1);
const AT_REST: Duration = Duration::from_secs(5);
/// How often the oldest unread record is looked at, which needs a connection.
const AGE_INTERVAL: Duration = Duration::from_secs(15);
/// How often connections that nobody needs any more are closed.
const SWEEP: Duration = Duration::from_mins(1);

/// The loop.
#[derive(Clone)]
pub struct Autoscaler {
    /// Writes the scale of Deployments.
    pub client: Client,
    /// The Deployments of listeners.
    pub deployments: Seen<Deployment>,
    /// What to look at, and what was seen.
    pub board: Board,
    /// The connections to Kafka.
    pub clusters: Clusters,
    /// Lag and decisions are counted here.
    pub metrics: Metrics,
    /// How often each pipeline has its turn.
    pub interval: Duration,
    /// How many have it at once.
    pub questions: u16,
}

impl Autoscaler {
    /// Looks at every pipeline again and again, until it is told to end.
    pub async fn run(self, shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(usize::from(self.questions)));
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = JoinSet::new();
        let mut swept = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.draining() => break,
                _ = ticks.tick() => {}
            }
            while looks.try_join_next().is_some() {}
            for (identity, target, watched) in self.board.due(Instant::now()) {
                let (this, places) = (self.clone(), Arc::clone(&places));
                looks.spawn(async move {
                    // It is never closed; if it were, the loop has ended.
                    if let Ok(_place) = places.acquire().await {
                        let next = this.look(&identity, &target, watched).await;
                        this.board.done(&identity, Instant::now() + next);
                    }
                });
            }
            if swept.elapsed() > SWEEP {
                self.clusters.keep(&self.board.connections());
                swept = Instant::now();
            }
        }
        looks.shutdown().await;
    }

    /// One pipeline's turn. Returns after how long it has the next.
    async fn look(
        &self,
        identity: &Identity,
        target: &Target,
        watched: Arc<tokio::sync::Mutex<Watched>>,
    ) -> Duration {
        // Nobody else holds it: a pipeline has one turn at a time.
        let mut watched = watched.lock().await;
        let Some(replicas) = self.replicas(identity, target, &mut watched) else { return self.interval };
        let began = Instant::now();
        let at = History::BEGINS + watched.began.elapsed();
        let observation = self.observe(target, replicas, at).await;
        self.metrics.lag_round(began.elapsed());
        if watched.age_at.is_none_or(|at| at.elapsed() >= AGE_INTERVAL) {
            watched.oldest = self.oldest(target, &observation).await;
            watched.age_at = Some(Instant::now());
        }
        self.act(identity, target, &observation, &mut watched).await;
        let is_away = matches!(observation.offsets, Err(Unknown::Away(_)));
        let is_at_rest = watched.moved_at.is_none_or(|at| at.elapsed() > RESTS_AFTER);
        match (is_away, is_at_rest) {
            (true, _) => AWAY.max(self.interval),
            (false, true) => AT_REST.max(self.interval),
            (false, false) => self.interval,
        }
    }

    /// Decides, writes what was decided, and tells of both.
    async fn act(
        &self,
        identity: &Identity,
        target: &Target,
        observation: &Observation,
        watched: &mut Watched,
    ) {
        let decision = decide(&watched.history, observation, &target.policy);
        watched.history.record(observation, &decision, &target.policy);
        let lag = decision.inputs.lag.as_ref().map(|lag| *lag).map_err(Unknown::as_str);
        self.metrics.saw((&identity.namespace, &identity.name), lag, decision.replicas);
        let written = self.write(identity, target, &decision, watched).await;
        watched.moved(written || decision.inputs.lag != Ok(0), end(observation));
        watched.note(decision, written);
        if self.board.publish(identity, watched) {
            tracing::debug!(
                pipeline.namespace = identity.namespace,
                pipeline.name = identity.name,
                "news of the lag"
            );
        }
    }

    /// The listeners as the Deployment tells; `None` while there is none.
    fn replicas(&self, identity: &Identity, target: &Target, watched: &mut Watched) -> Option<Replicas> {
        let deployment = self.deployments.get(&identity.namespace, &target.deployment)?;
        let count = |count: Option<i32>| u32::try_from(count.unwrap_or(0)).unwrap_or(0);
        let declared = count(deployment.spec.as_ref()?.replicas);
        let ready = count(deployment.status.as_ref().and_then(|status| status.ready_replicas));
        // Until the watch tells, what was written is what there is: else it would be written again.
        if watched.wrote.is_some_and(|(to, at)| to == declared || at.elapsed() > WRITE_SEEN_WITHIN) {
            watched.wrote = None;
        }
        let wanted = watched.wrote.map_or(declared, |(to, _)| to);
        Some(Replicas { wanted, ready })
    }

    async fn observe(&self, target: &Target, replicas: Replicas, at: Duration) -> Observation {
        let unknown = Observation::unknown(at, replicas);
        let kafka = match self.clusters.get(&target.connection, &target.group) {
            Ok(kafka) => kafka,
            Err(error) => return Observation { offsets: Err(error.into()), ..unknown },
        };
        let offsets = kafka.offsets(&target.group, &target.topic).await;
        let group = match &offsets {
            Ok(_) => kafka.group(&target.group).await,
            Err(unknown) => Err(unknown.clone()),
        };
        Observation { offsets, group, ..unknown }
    }

    /// How long the oldest unread record waits; `None` when unknown, or when there is none.
    async fn oldest(&self, target: &Target, observation: &Observation) -> Option<Duration> {
        let offsets = observation.offsets.as_ref().ok()?;
        let kafka = self.clusters.get(&target.connection, &target.group).ok()?;
        let oldest = kafka.oldest_unread(&target.group, &target.topic, offsets).await.ok()?;
        Some(oldest?.elapsed().unwrap_or_default())
    }

    /// Writes the number of listeners, if it is to change; whether that succeeded.
    async fn write(
        &self,
        identity: &Identity,
        target: &Target,
        decision: &Decision,
        watched: &mut Watched,
    ) -> bool {
        let Some(to) = decision.write().filter(|_| target.writes) else {
            watched.refusal = None;
            return false;
        };
        let scale = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": target.deployment, "namespace": identity.namespace},
            "spec": {"replicas": to},
        });
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), &identity.namespace);
        let by = PatchParams::apply(FIELD_MANAGER).force();
        match deployments.patch_scale(&target.deployment, &by, &Patch::Apply(&scale)).await {
            Ok(_) => {
                self.metrics.wrote("Scale");
                self.metrics.scaled(decision.reason.as_str());
                watched.wrote = Some((to, Instant::now()));
                watched.refusal = None;
                true
            }
            Err(error) => {
                if watched.refused(why(&error), Instant::now()) {
                    tracing::warn!(
                        pipeline.namespace = identity.namespace,
                        pipeline.name = identity.name,
                        error = &error as &dyn std::error::Error,
                        "the number of listeners was not written: it is tried again"
                    );
                }
                false
            }
        }
    }
}

/// Why a number was not written, and what to do.
fn why(error: &kube::Error) -> String {
    match error {
        // Of an answer its message is all there is to read.
        kube::Error::Api(status) => format!(
            "the API server answers: {}; see that the operator may patch deployments/scale, and that no admission policy is against it",
            status.message
        ),
        error => format!("the API server cannot be asked: {error}"),
    }
}

/// The ends of all logs of a topic together; `None` when one is unknown.
fn end(observation: &Observation) -> Option<i64> {
    let offsets = observation.offsets.as_ref().ok()?;
    offsets.partitions.values().map(|offsets| offsets.as_ref().ok().map(|offsets| offsets.last_stable)).sum()
}
