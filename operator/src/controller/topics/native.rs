//! Topics of clusters that Strimzi does not run: looked at now and then, and kept by Kafka's own protocol.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Found, Request, TopicState, TopicsState};
use crate::{
    autoscaler::Clusters,
    crd,
    kafka::{
        self, Connection, Kafka,
        topic::{Step, Wanted, plan},
    },
};

/// How soon topics are looked at again that were not as declared.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps topics. Clones are the same.
#[derive(Clone, Debug)]
pub struct Keeper {
    clusters: Clusters,
    /// How often topics are looked at that were as declared.
    interval: Duration,
    looked: Arc<Mutex<HashMap<(String, String), Look>>>,
}

/// How the topics of a pipeline were when they were last looked at.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    connection: Connection,
    wanted: Vec<Wanted>,
    state: TopicsState,
}

impl Keeper {
    /// One that has looked at nothing yet.
    pub fn new(clusters: Clusters, interval: Duration) -> Self {
        Self { clusters, interval, looked: Arc::default() }
    }

    pub(super) async fn keep_native(&self, request: Request<'_>, wanted: &[Wanted]) -> TopicsState {
        let Request { pipeline, rival } = request;
        if let Some(rival) = rival {
            let (namespace, name) = (rival.namespace.clone(), rival.name.clone());
            let claimed = TopicState { id: None, found: Found::ClaimedBy { namespace, name } };
            return TopicsState { transactions: Some(claimed), dead_letter: None };
        }
        let key = (pipeline.identity.namespace.clone(), pipeline.identity.name.clone());
        let connection = pipeline.kafka.connection();
        if let Some(state) = self.known(&key, &connection, wanted) {
            return state;
        }
        let mut state = TopicsState::default();
        for wanted in wanted {
            let kept = match self.clusters.get(&connection) {
                Ok(kafka) => keep(&kafka, wanted).await,
                Err(error) => Err(error),
            };
            let kept = kept.unwrap_or_else(|error| TopicState { id: None, found: not(&error) });
            state.put(pipeline, &wanted.name, kept);
        }
        let look = Look { at: Instant::now(), connection, wanted: wanted.into(), state: state.clone() };
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(key, look);
        state
    }

    /// What was seen a moment ago, if the question is the same.
    fn known(
        &self,
        key: &(String, String),
        connection: &Connection,
        wanted: &[Wanted],
    ) -> Option<TopicsState> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looked.get(key)?;
        let is_well = look.state.all().all(|topic| topic.found == Found::AsDeclared);
        let stays = if is_well { self.interval } else { AGAIN };
        let is_same = look.connection == *connection && look.wanted == wanted && look.at.elapsed() < stays;
        is_same.then(|| look.state.clone())
    }

    pub(in crate::controller) fn forget(&self, namespace: &str, name: &str) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.remove(&(namespace.into(), name.into()));
    }

    /// Deletes the topic of transactions, if it still has this id, and then the dead-letter topic.
    ///
    /// # Errors
    /// When Kafka does not do it.
    pub async fn delete(
        &self,
        connection: &Connection,
        (transactions, id): (&str, &str),
        dead_letter: &str,
    ) -> Result<(), kafka::Error> {
        let kafka = self.clusters.get(connection)?;
        kafka.delete_topic(transactions, id).await?;
        if let Some(found) = kafka.topic(dead_letter).await? {
            kafka.delete_topic(dead_letter, &found.topic_id).await?;
        }
        Ok(())
    }
}

async fn keep(kafka: &Kafka, wanted: &Wanted) -> Result<TopicState, kafka::Error> {
    let mut found = kafka.topic(&wanted.name).await?;
    let plan = plan(wanted, found.as_ref());
    for step in &plan.steps {
        tracing::info!(
            kafka.topic = wanted.name,
            step = step_name(step),
            ?step,
            "a topic is made as it is declared"
        );
        kafka.take(step, wanted).await?;
    }
    if found.is_none() {
        found = kafka.topic(&wanted.name).await?;
    }
    let id = found.map(|found| found.topic_id);
    let found = match plan.refusals.first() {
        Some(refusal) => Found::refused(refusal),
        None if id.is_none() => {
            Found::Not(crd::Reason::TopicPending, "Kafka has not told its brokers of the topic yet".into())
        }
        None => Found::AsDeclared,
    };
    Ok(TopicState { id, found })
}

const fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Create => "create",
        Step::Grow { .. } => "grow",
        Step::Configure(_) => "configure",
    }
}

fn not(error: &kafka::Error) -> Found {
    let reason = match error {
        kafka::Error::Away(_) => crd::Reason::KafkaUnreachable,
        kafka::Error::Settings(_) => crd::Reason::ReferenceInvalid,
        kafka::Error::NoTopic(_) | kafka::Error::Refused(_) | kafka::Error::NulByte(_) => {
            crd::Reason::KafkaError
        }
        kafka::Error::NoAnswer(_) => crd::Reason::InternalError,
    };
    Found::Not(reason, error.to_string())
}
