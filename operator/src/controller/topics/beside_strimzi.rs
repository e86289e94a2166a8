//! `KafkaTopic`s, and what Strimzi's Topic Operator says of them, told as it says it.

use kube::{Api, ResourceExt as _};

use super::{Found, Request, TopicState, TopicsState};
use crate::{
    controller::{
        apply::{Applier, Error, Named, Problem},
        model::strimzi::{Condition, KafkaTopic},
    },
    crd,
};

pub(super) async fn keep(
    applier: &Applier,
    request: Request<'_>,
    wanted: &[KafkaTopic],
) -> Result<TopicsState, Error> {
    let pipeline = request.pipeline;
    let claim = Some((&*pipeline.identity.namespace, &*pipeline.identity.name));
    let (mut state, mut proof) = (TopicsState::default(), None);
    let topics = [&pipeline.topics.transactions, &pipeline.topics.dead_letter];
    for (wanted, topic) in wanted.iter().zip(topics) {
        let seen = &applier.children.kafka_topics;
        let namespace = wanted.namespace().unwrap_or_default();
        if seen.get(&namespace, &wanted.name_any()).is_none() {
            // Strimzi would take a topic that Kafka has already, whosever it is, and change it.
            if let Err(found) = applier.topics.may_be_made(request, topic, &mut proof).await {
                state.put(pipeline, &topic.name, TopicState { id: None, found });
                break;
            }
        }
        let there = applier.there(seen, wanted).await?;
        let is_ours = |there: &KafkaTopic| there.claimed_by() == claim;
        let found = match applier.ensure(there, wanted, &pipeline.identity, is_ours).await? {
            Ok(topic) => TopicState { id: id(&topic), found: found(&topic) },
            Err(Problem::Foreign(what)) => {
                TopicState { id: None, found: whose(applier, wanted, what).await? }
            }
            Err(refused @ Problem::Refused { .. }) => {
                TopicState { id: None, found: Found::Not(crd::Reason::ApiServerError, refused.to_string()) }
            }
        };
        state.put(pipeline, &topic.name, found);
    }
    Ok(state)
}

/// Deletes those of these that a pipeline has claimed, and no others: an earlier one of its name may have retained
/// some. Whether they are gone.
pub(super) async fn delete(
    applier: &Applier,
    (namespace, topics): (&str, &[String]),
    claim: (&str, &str),
) -> Result<bool, Error> {
    let api = Api::<KafkaTopic>::namespaced(applier.client.clone(), namespace);
    let mut are_gone = true;
    for name in topics {
        // Without Strimzi there are none, which is as well.
        let there = api.get_opt(name).await;
        let there =
            there.map_err(|error| Error::new("reading", Named::new("KafkaTopic", namespace, name), error))?;
        if let Some(topic) = there.filter(|topic| topic.claimed_by() == Some(claim)) {
            applier.delete(&topic).await?;
            are_gone = false;
        }
    }
    Ok(are_gone)
}

/// Whose a `KafkaTopic` is that is not this pipeline's.
async fn whose(applier: &Applier, wanted: &KafkaTopic, what: Named) -> Result<Found, Error> {
    let namespace = wanted.namespace().unwrap_or_default();
    let api = Api::<KafkaTopic>::namespaced(applier.client.clone(), &namespace);
    let there = api.get_opt(&wanted.name_any()).await;
    let there = there.map_err(|error| Error::new("reading", what.clone(), error))?;
    let claim = there.as_ref().and_then(KafkaTopic::claimed_by);
    Ok(match claim {
        Some((namespace, name)) => Found::ClaimedBy { namespace: namespace.into(), name: name.into() },
        None => Found::Foreign(what),
    })
}

fn id(topic: &KafkaTopic) -> Option<String> {
    topic.status.as_ref()?.topic_id.clone()
}

/// What Strimzi says. It says `Ready=False` of a topic that failed, and other types of conditions of one that it
/// leaves alone.
fn found(topic: &KafkaTopic) -> Found {
    let pending = || {
        let why = format!(
            "Strimzi's Topic Operator has not answered for KafkaTopic {}/{}: does it run, and watch this namespace?",
            topic.namespace().unwrap_or_default(),
            topic.name_any()
        );
        Found::Not(crd::Reason::TopicPending, why)
    };
    if topic.metadata.deletion_timestamp.is_some() {
        let why =
            format!("KafkaTopic {} is being deleted: it is made anew once it is gone", topic.name_any());
        return Found::Not(crd::Reason::TopicPending, why);
    }
    let Some(status) = &topic.status else { return pending() };
    // A condition says nothing of the generation that it is about.
    if status.observed_generation < topic.metadata.generation {
        return pending();
    }
    let is = |condition: &&Condition, kind: &str, status: &str| {
        condition.kind == kind && condition.status == status
    };
    let has = |kind: &str, status_is: &str| {
        status.conditions.iter().find(|condition| is(condition, kind, status_is))
    };
    if has("Ready", "True").is_some() {
        return Found::AsDeclared;
    }
    let left_alone =
        [("Unmanaged", "strimzi.io/managed"), ("ReconciliationPaused", "strimzi.io/pause-reconciliation")];
    for (kind, annotation) in left_alone {
        if has(kind, "True").is_some() {
            let why = format!(
                "Strimzi leaves KafkaTopic {} alone: remove its annotation {annotation}",
                topic.name_any()
            );
            return Found::Not(crd::Reason::TopicUnmanaged, why);
        }
    }
    match has("Ready", "False").or_else(|| has("NotReady", "True")) {
        Some(failed) => {
            let said = failed.reason.as_deref().unwrap_or("InternalError");
            let message = failed.message.as_deref().unwrap_or("Strimzi says no more");
            Found::Not(reason(said), format!("{said}: {message}"))
        }
        None => pending(),
    }
}

/// The reasons that Strimzi has.
fn reason(said: &str) -> crd::Reason {
    match said {
        "NotSupported" => crd::Reason::NotSupported,
        "ResourceConflict" => crd::Reason::ResourceConflict,
        "KafkaError" => crd::Reason::KafkaError,
        _ => crd::Reason::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn topic(generation: i64, status: &Value) -> KafkaTopic {
        serde_json::from_value(json!({
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": "transactions", "namespace": "kafka", "generation": generation},
            "spec": {"partitions": 6},
            "status": status,
        }))
        .unwrap()
    }

    fn condition(condition: &Value) -> Value {
        json!({"conditions": [condition], "observedGeneration": 2, "topicName": "transactions"})
    }

    #[test]
    fn what_strimzi_says_is_told_as_it_says_it() {
        let decreased = json!({"type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported"});
        let expected =
            Found::Not(crd::Reason::NotSupported, "NotSupported: Decreasing partitions not supported".into());
        assert_eq!(found(&topic(2, &condition(&decreased))), expected);
        let conflict = json!({"type": "Ready", "status": "False", "reason": "ResourceConflict", "message": "Managed by Ref{namespace='kafka', name='dup1'}"});
        assert_eq!(found(&topic(2, &condition(&conflict))).reason(), crd::Reason::ResourceConflict);
        let ready = json!({"type": "Ready", "status": "True"});
        assert_eq!(found(&topic(2, &condition(&ready))), Found::AsDeclared);
    }

    #[test]
    fn a_topic_that_strimzi_leaves_alone_is_not_as_declared() {
        for kind in ["Unmanaged", "ReconciliationPaused"] {
            let left_alone = json!({"type": kind, "status": "True"});
            assert_eq!(found(&topic(2, &condition(&left_alone))).reason(), crd::Reason::TopicUnmanaged);
        }
    }

    #[test]
    fn an_answer_for_an_earlier_generation_is_none() {
        let ready = json!({"type": "Ready", "status": "True"});
        assert_eq!(found(&topic(3, &condition(&ready))).reason(), crd::Reason::TopicPending);
        assert_eq!(found(&topic(1, &Value::Null)).reason(), crd::Reason::TopicPending);
    }
}
