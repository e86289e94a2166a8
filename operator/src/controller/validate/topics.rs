//! The topics, and whose they are.

use std::collections::BTreeMap;

use super::Error;
use crate::{
    controller::model::{Dereferenced, ObjectName, Topics, strimzi::KafkaTopic},
    crd,
    identity::Identity,
    kafka::topic::{Refusal, Wanted},
};

/// What Kafka allows a record to be where nobody says otherwise, in bytes.
const MAX_MESSAGE_BYTES: u64 = 1024 * 1024 + 12;
/// How much a refused record may grow by its headers, in bytes.
const DEAD_LETTER_HEADERS: u64 = 64 * 1024;

pub(super) fn topics(
    identity: &Identity,
    kafka: &crd::Kafka,
    found: &Dereferenced,
    wrong: &mut Vec<Error>,
) -> Option<Topics> {
    let mut transactions = transactions(&kafka.topic);
    let mut dead_letter = dead_letter(kafka, &transactions);
    let mut refusals = Vec::new();
    if kafka.strimzi.is_some() {
        let claimed = [&transactions, &dead_letter].map(|topic| claim(identity, kafka, found, topic));
        let before = wrong.len();
        wrong.extend(claimed.into_iter().filter_map(Result::err));
        if wrong.len() > before {
            return None;
        }
        let there = partitions(found, &transactions.name);
        refusals.extend(keep_order(&mut transactions, there));
        // Nobody counts on the order of what was refused: it may have more, and grow.
        let there = partitions(found, &dead_letter.name);
        dead_letter.partitions = transactions.partitions.max(there.unwrap_or_default());
    }
    let strimzi = kafka.strimzi.as_ref().map(|named| (namespace(identity, named), named.cluster.clone()));
    Some(Topics { transactions, dead_letter, strimzi, refusals })
}

fn namespace(identity: &Identity, named: &crd::Strimzi) -> String {
    named.namespace.as_ref().unwrap_or(&identity.namespace).clone()
}

fn transactions(topic: &crd::Topic) -> Wanted {
    Wanted {
        name: topic.name.clone(),
        partitions: topic.partitions.unsigned_abs(),
        replicas: topic.replicas.unsigned_abs(),
        config: topic.configuration(),
        growth_acknowledged: topic.acknowledge_partition_growth == Some(topic.partitions),
    }
}

/// As the topic of transactions, but for what is about its own records.
fn dead_letter(kafka: &crd::Kafka, transactions: &Wanted) -> Wanted {
    let is_of_both = |key: &str| {
        key.starts_with("retention.")
            || ["cleanup.policy", "min.insync.replicas", "unclean.leader.election.enable"].contains(&key)
    };
    let of_both = transactions.config.iter().filter(|(key, _)| is_of_both(key));
    let mut config: BTreeMap<_, _> = of_both.map(|(key, value)| (key.clone(), value.clone())).collect();
    let most = transactions.config.get("max.message.bytes").and_then(|bytes| bytes.trim().parse().ok());
    let most = most.unwrap_or(MAX_MESSAGE_BYTES).saturating_add(DEAD_LETTER_HEADERS);
    // Kafka's own limit.
    let most = most.min(i32::MAX.unsigned_abs().into());
    config.insert("max.message.bytes".into(), most.to_string());
    let name = kafka.dead_letter_name();
    Wanted { name, config, growth_acknowledged: true, ..transactions.clone() }
}

/// Whether a topic is this pipeline's, or can become it.
fn claim(identity: &Identity, kafka: &crd::Kafka, found: &Dereferenced, topic: &Wanted) -> Result<(), Error> {
    let Identity { namespace: here, name, .. } = identity;
    let (Some(named), Some(found)) = (&kafka.strimzi, &found.strimzi) else { return Ok(()) };
    let object = KafkaTopic::object_name(&topic.name);
    let Some(there) = found.topics.get(&object) else { return Ok(()) };
    let topic = ObjectName { kind: "KafkaTopic", namespace: namespace(identity, named), name: object };
    match there.claimed_by() {
        Some(by) if by == (here, name) => Ok(()),
        Some((namespace, name)) => {
            Err(Error::AlreadyClaimed { topic, namespace: namespace.into(), name: name.into() })
        }
        None => Err(Error::Unclaimed { topic, namespace: here.clone(), name: name.clone() }),
    }
}

/// How many partitions a topic has: as Kafka says, else as it was last asked for.
fn partitions(found: &Dereferenced, topic: &str) -> Option<u32> {
    let resource = || found.strimzi.as_ref()?.topics.get(&KafkaTopic::object_name(topic))?.spec.partitions;
    found.partitions.get(topic).copied().or_else(resource)
}

/// Leaves the number of partitions as it is where a change would lose or reorder records. The schema compares a
/// pipeline with what it was before; this compares it with the topic, which may be older than the pipeline.
fn keep_order(wanted: &mut Wanted, found: Option<u32>) -> Option<Refusal> {
    let (from, to) = (found?, wanted.partitions);
    let refusal = match to {
        to if to < from => Refusal::Shrink { from, to },
        to if to > from && !wanted.growth_acknowledged => Refusal::Growth { from, to },
        _ => return None,
    };
    wanted.partitions = from;
    Some(refusal)
}
