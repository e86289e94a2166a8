//! Topics of clusters that Strimzi does not run: looked at now and then, and kept by Kafka's own protocol.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Found, Marks, Request, Taken, TopicState, TopicsState,
    claim::{self, Proof},
};
use crate::{
    autoscaler::Clusters,
    crd,
    kafka::{
        self, Connection, Kafka,
        topic::{self, Wanted, plan},
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
    /// By the pipeline's uid.
    looked: Arc<Mutex<HashMap<String, Look>>>,
}

/// How the topics of a pipeline were when they were last looked at.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    connection: Connection,
    wanted: Vec<Wanted>,
    marks: Marks,
    state: TopicsState,
}

impl Keeper {
    /// One that has looked at nothing yet.
    pub fn new(clusters: Clusters, interval: Duration) -> Self {
        Self { clusters, interval, looked: Arc::default() }
    }

    pub(super) async fn keep_native(
        &self,
        request: Request<'_>,
        wanted: &[Wanted],
        taken: &mut Vec<Taken>,
    ) -> TopicsState {
        let Request { pipeline, marks, .. } = request;
        let uid = pipeline.identity.uid.as_str();
        let connection = pipeline.kafka.connection();
        if let Some(state) = self.known(uid, &connection, (wanted, marks)) {
            return state;
        }
        let (mut state, mut proof) = (TopicsState::default(), None);
        for wanted in wanted {
            let kept = match self.clusters.get(&connection, &pipeline.listener.group) {
                Ok(kafka) => keep(&kafka, request, wanted, &mut proof, taken).await,
                Err(error) => Err(not(&error)),
            };
            let kept = kept.unwrap_or_else(|found| TopicState { id: None, found });
            state.put(pipeline, &wanted.name, kept);
            if state.is_of_another() {
                break;
            }
        }
        let (wanted, marks) = (wanted.into(), marks.clone());
        let look = Look { at: Instant::now(), connection, wanted, marks, state: state.clone() };
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.into(), look);
        state
    }

    /// Whether a topic may be made by somebody who would take one that is there already: there is none, or it is the
    /// pipeline's and has what is declared. `proof` is as for [`find`].
    pub(super) async fn may_be_made(
        &self,
        request: Request<'_>,
        wanted: &Wanted,
        proof: &mut Option<Proof>,
    ) -> Result<(), Found> {
        let Request { pipeline, .. } = request;
        let kafka = self.clusters.get(&pipeline.kafka.connection(), &pipeline.listener.group);
        let kafka = kafka.map_err(|error| not(&error))?;
        let Some(found) = find(&kafka, request, wanted, proof).await? else { return Ok(()) };
        plan(wanted, Some(&found)).refusals.first().map_or(Ok(()), |refusal| Err(Found::refused(refusal)))
    }

    /// What was seen a moment ago, if the question is the same.
    fn known(
        &self,
        uid: &str,
        connection: &Connection,
        (wanted, marks): (&[Wanted], &Marks),
    ) -> Option<TopicsState> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looked.get(uid)?;
        let is_well = look.state.all().all(|topic| topic.found == Found::AsDeclared);
        let stays = if is_well { self.interval } else { AGAIN };
        let is_same = look.connection == *connection
            && look.wanted == wanted
            && look.marks == *marks
            && look.at.elapsed() < stays;
        is_same.then(|| look.state.clone())
    }

    pub(in crate::controller) fn forget(&self, uid: &str) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.remove(uid);
    }

    /// Deletes topics, by name and id: each if it still has its id. Whether all are gone.
    ///
    /// # Errors
    /// When Kafka does not do it.
    pub async fn delete(
        &self,
        (connection, group): (&Connection, &str),
        topics: &[(String, String)],
    ) -> Result<bool, kafka::Error> {
        let kafka = self.clusters.get(connection, group)?;
        let mut are_gone = true;
        for (topic, id) in topics {
            are_gone &= kafka.delete_topic(topic, id).await?;
        }
        Ok(are_gone)
    }
}

/// Makes a topic be as declared, if it can be the pipeline's.
async fn keep(
    kafka: &Kafka,
    request: Request<'_>,
    wanted: &Wanted,
    proof: &mut Option<Proof>,
    taken: &mut Vec<Taken>,
) -> Result<TopicState, Found> {
    let found = find(kafka, request, wanted, proof).await?;
    make(kafka, wanted, found, taken).await.map_err(|error| not(&error))
}

/// What Kafka has of a topic that is the pipeline's, or can become it. `proof` is what shows that of the topic before
/// this one, and then of this one.
async fn find(
    kafka: &Kafka,
    request: Request<'_>,
    wanted: &Wanted,
    proof: &mut Option<Proof>,
) -> Result<Option<topic::Found>, Found> {
    let found = kafka.topic(&wanted.name).await.map_err(|error| not(&error))?;
    match &found {
        Some(_) if proof.is_some_and(Proof::is_of_both) => {}
        Some(found) => *proof = Some(claim::claim(kafka, request, (&wanted.name, &found.topic_id)).await?),
        None => claim::new(request)?,
    }
    Ok(found)
}

async fn make(
    kafka: &Kafka,
    wanted: &Wanted,
    mut found: Option<topic::Found>,
    taken: &mut Vec<Taken>,
) -> Result<TopicState, kafka::Error> {
    let plan = plan(wanted, found.as_ref());
    for step in plan.steps {
        kafka.take(&step, wanted).await?;
        let step = Taken { topic: wanted.name.clone(), step };
        tracing::info!(kafka.topic = step.topic, step = step.reason(), "{step}");
        taken.push(step);
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
