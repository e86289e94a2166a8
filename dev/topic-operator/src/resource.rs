//! As much of Strimzi's `KafkaTopic` as is read or written here.

use std::collections::BTreeMap;

use kube::{CustomResource, ResourceExt as _};
use serde::{Deserialize, Serialize};

/// The label that says whose topics these are.
pub(crate) const CLUSTER_LABEL: &str = "strimzi.io/cluster";
/// What keeps a `KafkaTopic` until its topic is deleted.
pub(crate) const FINALIZER: &str = "strimzi.io/topic-operator";
const MANAGED: &str = "strimzi.io/managed";
const PAUSED: &str = "strimzi.io/pause-reconciliation";

/// What a topic shall be.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "kafka.strimzi.io",
    version = "v1",
    kind = "KafkaTopic",
    namespaced,
    status = "KafkaTopicStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicSpec {
    /// Its name in Kafka; that of the resource, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// How many partitions it has; the brokers' default, if it does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// On how many brokers each partition is; the brokers' default, if it does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u16>,
    /// Its configuration: all that differs from the brokers' defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
}

/// What became of it. What is absent is written as `null`, which removes it by a merge patch.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// One: whether it is as it shall be.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this is about.
    pub observed_generation: Option<i64>,
    /// Its id in Kafka, as 22 digits of Base64.
    pub topic_id: Option<String>,
    /// Its name in Kafka, from when it was first seen.
    pub topic_name: Option<String>,
}

/// A condition in Strimzi's shape, which has no generation of its own.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Unmanaged` or `ReconciliationPaused`.
    pub r#type: String,
    /// `True` or `False`.
    pub status: String,
    /// Why not, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why not, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this was written, in RFC 3339.
    pub last_transition_time: String,
}

impl KafkaTopic {
    /// The name that its topic shall have in Kafka.
    pub fn topic_name(&self) -> String {
        self.spec.topic_name.clone().unwrap_or_else(|| self.name_any())
    }

    /// The name under which its topic was first seen.
    pub(crate) fn first_name(&self) -> Option<&str> {
        self.status.as_ref()?.topic_name.as_deref()
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.annotations().get(MANAGED).is_none_or(|managed| managed != "false")
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.annotations().get(PAUSED).is_some_and(|paused| paused == "true")
    }

    pub(crate) fn is_ready(&self) -> bool {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.r#type == "Ready" && condition.status == "True")
    }
}
