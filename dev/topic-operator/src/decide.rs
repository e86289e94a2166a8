//! What to do about a topic, and what its status says. Without I/O.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde_json::Value;

use crate::{
    kafka,
    resource::{Condition, KafkaTopic, KafkaTopicSpec, KafkaTopicStatus},
};

/// Why a topic is not as its `KafkaTopic` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another `KafkaTopic` has the topic.
    ResourceConflict(String),
    /// Nobody can do that to a topic.
    NotSupported(String),
    /// Kafka does not do it.
    KafkaError(String),
}

impl Refusal {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::ResourceConflict(message) => ("ResourceConflict", message),
            Self::NotSupported(message) => ("NotSupported", message),
            Self::KafkaError(message) => ("KafkaError", message),
        }
    }
}

impl From<kafka::Error> for Refusal {
    /// In the words of Kafka's Java client, which the real one has.
    fn from(error: kafka::Error) -> Self {
        Self::KafkaError(format!("org.apache.kafka.common.errors.{}: {}", error.class, error.message))
    }
}

/// What a status says of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ready,
    Unmanaged,
    Paused,
    Refused(Refusal),
}

/// What to change in a topic, and what nobody can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The configuration to set, or with `None` to take back to the brokers' default.
    pub(crate) alter: BTreeMap<String, Option<String>>,
    /// How many partitions to grow to.
    pub(crate) grow_to: Option<u32>,
    /// What there are too many of; the rest is done all the same.
    pub(crate) shrinking: Option<Refusal>,
    /// Partitions that are on too many or too few brokers.
    pub(crate) replicas: Option<Refusal>,
}

impl Plan {
    /// Whether the topic is as near to what it shall be as it can come.
    pub(crate) fn is_done(&self) -> bool {
        self.alter.is_empty() && self.grow_to.is_none()
    }
}

/// Compares what a topic shall be with what it is.
pub(crate) fn plan(wanted: &KafkaTopicSpec, found: &kafka::Topic) -> Plan {
    let partitions = u32::try_from(found.replicas.len()).unwrap_or(u32::MAX);
    let shrinks = wanted.partitions.is_some_and(|wanted| wanted < partitions);
    let shrinking = shrinks.then(|| Refusal::NotSupported("Decreasing partitions not supported".into()));
    Plan {
        alter: alterations(wanted, found),
        grow_to: wanted.partitions.filter(|wanted| *wanted > partitions),
        shrinking,
        replicas: refused_replicas(wanted, found),
    }
}

fn alterations(wanted: &KafkaTopicSpec, found: &kafka::Topic) -> BTreeMap<String, Option<String>> {
    let wanted = config(wanted);
    let undeclared = found.config.iter().filter(|(name, entry)| entry.is_own && !wanted.contains_key(*name));
    let mut alterations: BTreeMap<_, _> = undeclared.map(|(name, _)| (name.clone(), None)).collect();
    for (name, value) in wanted {
        if found.config.get(&name).and_then(|entry| entry.value.as_ref()) != Some(&value) {
            alterations.insert(name, Some(value));
        }
    }
    alterations
}

fn refused_replicas(wanted: &KafkaTopicSpec, found: &kafka::Topic) -> Option<Refusal> {
    let wanted = usize::from(wanted.replicas?);
    let others = found.replicas.iter().filter(|(_, replicas)| **replicas != wanted);
    let others: Vec<_> = others.map(|(partition, _)| partition.to_string()).collect();
    (!others.is_empty()).then(|| {
        let partitions = others.join(", ");
        Refusal::NotSupported(format!(
            "Replication factor change not supported, but required for partitions [{partitions}]"
        ))
    })
}

/// The configuration as Kafka takes it: texts only.
pub(crate) fn config(spec: &KafkaTopicSpec) -> BTreeMap<String, String> {
    spec.config.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// The name of a topic is for ever.
pub(crate) fn refused_rename(topic: &KafkaTopic) -> Option<Refusal> {
    let renamed = topic.first_name().is_some_and(|first| first != topic.topic_name());
    renamed.then(|| Refusal::NotSupported("Changing spec.topicName is not supported".into()))
}

/// Of several `KafkaTopic`s for one topic, the oldest has it. Of two that are equally old, whose time has only seconds,
/// the one that already has it, else the first by name.
pub(crate) fn refused_duplicate<'a>(
    topic: &KafkaTopic,
    all: impl IntoIterator<Item = &'a KafkaTopic>,
) -> Option<Refusal> {
    let name = topic.topic_name();
    let same = all.into_iter().filter(|other| other.is_managed() && other.topic_name() == name);
    let holder =
        same.min_by_key(|other| (other.creation_timestamp(), !other.is_ready(), other.name_any()))?;
    (holder.uid() != topic.uid()).then(|| {
        let (namespace, name) = (holder.namespace().unwrap_or_default(), holder.name_any());
        Refusal::ResourceConflict(format!("Managed by Ref{{namespace='{namespace}', name='{name}'}}"))
    })
}

/// The status of a topic after `outcome`, unless it says so already: a new time alone is not written.
pub(crate) fn status(
    topic: &KafkaTopic,
    outcome: &Outcome,
    topic_id: Option<String>,
    now: &str,
) -> Option<KafkaTopicStatus> {
    let condition = |r#type: &str, refusal: Option<&Refusal>| {
        let parts = refusal.map(Refusal::parts);
        Condition {
            r#type: r#type.into(),
            status: if parts.is_some() { "False" } else { "True" }.into(),
            reason: parts.map(|(reason, _)| reason.into()),
            message: parts.map(|(_, message)| message.into()),
            last_transition_time: now.to_owned(),
        }
    };
    let condition = match outcome {
        Outcome::Ready => condition("Ready", None),
        Outcome::Unmanaged => condition("Unmanaged", None),
        Outcome::Paused => condition("ReconciliationPaused", None),
        Outcome::Refused(refusal) => condition("Ready", Some(refusal)),
    };
    let topic_name = topic.first_name().map_or_else(|| topic.topic_name(), str::to_owned);
    let new = KafkaTopicStatus {
        conditions: vec![condition],
        observed_generation: topic.metadata.generation,
        topic_id,
        topic_name: topic.is_managed().then_some(topic_name),
    };
    let mut old = topic.status.clone().unwrap_or_default();
    for condition in &mut old.conditions {
        now.clone_into(&mut condition.last_transition_time);
    }
    (old != new).then_some(new)
}

#[cfg(test)]
mod tests;
