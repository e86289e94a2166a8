//! The topics beside Strimzi.

use kube::core::ObjectMeta;

use super::metadata::MANAGER;
use crate::{
    controller::model::{
        ValidatedPipeline,
        strimzi::{CLAIMED_NAME, CLAIMED_NAMESPACE, CLUSTER, KafkaTopic, KafkaTopicSpec},
    },
    kafka::topic::Wanted,
};

/// Both topics. They have no owner, which would have to be of their namespace, and outlive the pipeline unless it says
/// otherwise; their labels say whose they are, also after it has gone.
pub(super) fn both(pipeline: &ValidatedPipeline, namespace: &str, cluster: &str) -> Vec<KafkaTopic> {
    let labels = [
        (CLUSTER, cluster),
        (CLAIMED_NAMESPACE, &pipeline.identity.namespace),
        (CLAIMED_NAME, &pipeline.identity.name),
        ("app.kubernetes.io/managed-by", MANAGER),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    [&pipeline.topics.transactions, &pipeline.topics.dead_letter]
        .map(|topic| KafkaTopic {
            metadata: ObjectMeta {
                name: Some(KafkaTopic::object_name(&topic.name)),
                namespace: Some(namespace.into()),
                labels: Some(labels.clone().into()),
                ..ObjectMeta::default()
            },
            spec: spec(topic),
            status: None,
        })
        .into()
}

fn spec(topic: &Wanted) -> KafkaTopicSpec {
    let is_named_so = KafkaTopic::object_name(&topic.name) == topic.name;
    let config = topic.config.iter().map(|(key, value)| (key.clone(), value.clone().into()));
    KafkaTopicSpec {
        topic_name: (!is_named_so).then(|| topic.name.clone()),
        partitions: Some(topic.partitions),
        replicas: Some(topic.replicas),
        config: config.collect(),
    }
}
