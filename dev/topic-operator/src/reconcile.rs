//! One `KafkaTopic`, from what it says to what its status says.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{controller::Action, reflector::Store},
};
use serde_json::json;

use crate::{
    decide::{self, Outcome, Refusal},
    kafka::{self, Kafka},
    resource::{FINALIZER, KafkaTopic},
};

/// How soon is tried again what the API server did not take.
const RETRY: Duration = Duration::from_secs(1);

/// What is needed for every `KafkaTopic`.
pub(crate) struct Context {
    pub(crate) topics: Api<KafkaTopic>,
    /// Those that are watched, to find several for one topic.
    pub(crate) all: Store<KafkaTopic>,
    pub(crate) kafka: Kafka,
    pub(crate) resync: Duration,
}

pub(crate) async fn reconcile(topic: Arc<KafkaTopic>, context: Arc<Context>) -> kube::Result<Action> {
    // Not as it was when its turn was queued: it may have been answered since.
    let Some(topic) = context.topics.get_opt(&topic.name_any()).await? else {
        return Ok(Action::await_change());
    };
    if topic.metadata.deletion_timestamp.is_some() {
        delete(topic, &context).await?;
    } else {
        keep(topic, &context).await?;
    }
    Ok(Action::requeue(context.resync))
}

pub(crate) fn on_error(topic: &KafkaTopic, error: &kube::Error) -> Action {
    tracing::warn!(topic = topic.name_any(), error = %error, "the API server did not take something, trying again");
    Action::requeue(RETRY)
}

async fn keep(topic: KafkaTopic, context: &Context) -> kube::Result<()> {
    if !topic.is_managed() {
        let topic = with_finalizer(topic, context).await?;
        return tell(&topic, &Outcome::Unmanaged, None, context).await;
    }
    let all = context.all.state();
    let refused = decide::refused_rename(&topic)
        .or_else(|| decide::refused_duplicate(&topic, all.iter().map(AsRef::as_ref).chain([&topic])));
    if let Some(refused) = refused {
        return tell(&topic, &Outcome::Refused(refused), None, context).await;
    }
    if topic.is_paused() {
        return tell(&topic, &Outcome::Paused, None, context).await;
    }
    let topic = with_finalizer(topic, context).await?;
    let (id, refused) = match in_kafka(&topic, &context.kafka).await {
        Ok((found, refused)) => (Some(found.id), refused),
        Err(error) => (None, Some(error.into())),
    };
    let outcome = refused.map_or(Outcome::Ready, Outcome::Refused);
    tell(&topic, &outcome, id, context).await
}

/// Makes the topic what it shall be, as far as that is possible. The topic is what it is after that.
async fn in_kafka(
    topic: &KafkaTopic,
    kafka: &Kafka,
) -> Result<(kafka::Topic, Option<Refusal>), kafka::Error> {
    let (name, spec) = (topic.topic_name(), &topic.spec);
    let Some(found) = kafka.topic(&name).await? else {
        match kafka.create(&name, spec.partitions, spec.replicas, decide::config(spec)).await {
            // Made a moment ago: the broker that was asked for it had not heard of it yet.
            Err(error) if error.class.ends_with("TopicExistsException") => {}
            made => made?,
        }
        let made = kafka.settled(&name, |topic| topic.is_some()).await?;
        return Ok((made.unwrap_or_default(), None));
    };
    let plan = decide::plan(spec, &found);
    if plan.is_done() {
        return Ok((found, plan.shrinking.or(plan.replicas)));
    }
    // Each is tried, whatever becomes of the others, and the first refusal is told.
    let altered = if plan.alter.is_empty() { Ok(()) } else { kafka.alter(&name, plan.alter).await };
    let grown =
        if let Some(partitions) = plan.grow_to { kafka.grow(&name, partitions).await } else { Ok(()) };
    let done = altered.and(grown).map_err(Refusal::from);
    let is_done =
        |topic: Option<&kafka::Topic>| topic.is_some_and(|topic| decide::plan(spec, topic).is_done());
    let now = if done.is_ok() { kafka.settled(&name, is_done).await? } else { None };
    Ok((now.unwrap_or(found), plan.shrinking.or(done.err()).or(plan.replicas)))
}

async fn delete(topic: KafkaTopic, context: &Context) -> kube::Result<()> {
    if topic.is_managed() {
        if let Some(refused) = decide::refused_rename(&topic) {
            return tell(&topic, &Outcome::Refused(refused), None, context).await;
        }
        let name = topic.topic_name();
        if let Err(error) = context.kafka.delete(&name).await {
            return tell(&topic, &Outcome::Refused(error.into()), None, context).await;
        }
        // Whoever makes it again at once shall not find this one.
        if let Err(error) = context.kafka.settled(&name, |topic| topic.is_none()).await {
            return tell(&topic, &Outcome::Refused(error.into()), None, context).await;
        }
    }
    let others = topic.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    set_finalizers(&topic, others, context).await.map(drop)
}

async fn with_finalizer(topic: KafkaTopic, context: &Context) -> kube::Result<KafkaTopic> {
    if topic.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(topic);
    }
    let finalizers = topic.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
    set_finalizers(&topic, finalizers, context).await
}

/// With the version that was read: a finalizer that another adds meanwhile is not lost.
async fn set_finalizers(
    topic: &KafkaTopic,
    finalizers: Vec<String>,
    context: &Context,
) -> kube::Result<KafkaTopic> {
    let metadata = json!({ "finalizers": finalizers, "resourceVersion": topic.resource_version() });
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    context.topics.patch(&topic.name_any(), &PatchParams::default(), &patch).await
}

/// Writes the status, if it does not say so already.
async fn tell(
    topic: &KafkaTopic,
    outcome: &Outcome,
    id: Option<String>,
    context: &Context,
) -> kube::Result<()> {
    let now = jiff::Timestamp::now().to_string();
    let Some(status) = decide::status(topic, outcome, id, &now) else { return Ok(()) };
    tracing::info!(topic = topic.name_any(), outcome = ?outcome, "the status is written");
    let patch = Patch::Merge(json!({ "status": status }));
    context.topics.patch_status(&topic.name_any(), &PatchParams::default(), &patch).await?;
    Ok(())
}
