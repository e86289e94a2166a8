//! What the operator reads and writes of Strimzi's resources (`kafka.strimzi.io/v1`), and no more.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The annotation of a `KafkaUser` that names the namespaces whose pipelines may be it, separated by commas; of a
/// `Kafka`, those whose pipelines may use it without a user.
pub const ALLOWED_NAMESPACES: &str = "fluxo.dev/allowed-namespaces";
/// The label of a `KafkaTopic` that names its cluster.
pub const CLUSTER: &str = "strimzi.io/cluster";
/// The label of a `KafkaTopic` that names the namespace of the pipeline that has claimed it.
pub const CLAIMED_NAMESPACE: &str = "fluxo.dev/pipeline-namespace";
/// The label of a `KafkaTopic` that names the pipeline that has claimed it.
pub const CLAIMED_NAME: &str = "fluxo.dev/pipeline";

/// A cluster of Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, CustomResource)]
#[kube(group = "kafka.strimzi.io", version = "v1", kind = "Kafka", plural = "kafkas", namespaced)]
#[kube(schema = "disabled", status = "KafkaStatus")]
pub struct KafkaSpec {
    /// The brokers.
    #[serde(default)]
    pub kafka: Brokers,
}

/// The brokers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Brokers {
    /// Where they listen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
}

/// Where the brokers of a cluster listen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// How clients reach it: `internal`, `cluster-ip`, or one of the external ones.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Whether it speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// How clients say who they are; `None` when they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// How a client says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Authentication {
    /// `scram-sha-512`, `tls`, `tls-external` and others.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How a cluster was last seen to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaStatus {
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where its listeners are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

/// Where a listener is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The brokers to ask first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// What its certificate is verified by, in PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

/// What Strimzi says about a resource. Not that of Kubernetes: neither reason nor message need be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// Why, as a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A user of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, CustomResource)]
#[kube(group = "kafka.strimzi.io", version = "v1", kind = "KafkaUser", plural = "kafkausers", namespaced)]
#[kube(schema = "disabled", status = "KafkaUserStatus")]
pub struct KafkaUserSpec {
    /// How it says who it is; `None` for a user who only has quotas or rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// How a user was last seen to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct KafkaUserStatus {
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Its name for the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The Secret with what it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A topic of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, CustomResource)]
#[kube(group = "kafka.strimzi.io", version = "v1", kind = "KafkaTopic", plural = "kafkatopics", namespaced)]
#[kube(schema = "disabled", status = "KafkaTopicStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicSpec {
    /// Its name in Kafka; `None` when it is that of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// How many partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// On how many brokers each is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Its configuration: text from this operator; others may write numbers and lists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
}

/// How a topic was last seen to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// What is said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its name in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// A change of its replicas that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_change: Option<ReplicasChange>,
}

/// A change of a topic's replicas that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicasChange {
    /// How many there are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_replicas: Option<u32>,
    /// `pending` or `ongoing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What Cruise Control says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The Secret with the certificates of the authority of a cluster's brokers.
pub fn ca_secret(cluster: &str) -> String {
    format!("{cluster}-cluster-ca-cert")
}

/// Whether the owner of an object of Strimzi's lets pipelines of a namespace use it. In its own namespace there is
/// nothing to let.
pub fn allows(metadata: &ObjectMeta, namespace: &str) -> bool {
    let named = metadata.annotations.as_ref().and_then(|all| all.get(ALLOWED_NAMESPACES));
    metadata.namespace.as_deref() == Some(namespace)
        || named.is_some_and(|named| named.split(',').any(|allowed| allowed.trim() == namespace))
}

impl KafkaUser {
    /// The Secret with what it shows to brokers.
    pub fn secret_name(&self) -> &str {
        let said = self.status.as_ref().and_then(|status| status.secret.as_deref());
        said.or(self.metadata.name.as_deref()).unwrap_or_default()
    }

    /// Its name for the brokers, when it has a password.
    pub fn username(&self) -> &str {
        let said = self.status.as_ref().and_then(|status| status.username.as_deref());
        said.or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

impl KafkaTopic {
    /// The name of the resource for a topic: the topic's own where Kubernetes allows it, else one made from it.
    pub fn object_name(topic: &str) -> String {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_label = |label: &str| {
            label.bytes().all(|byte| is_plain(byte) || byte == b'-')
                && label.bytes().next().is_some_and(is_plain)
                && label.bytes().next_back().is_some_and(is_plain)
        };
        if topic.split('.').all(is_label) {
            return topic.into();
        }
        let readable: String = topic
            .to_ascii_lowercase()
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
            .collect();
        // Topics that differ in case or punctuation only are two.
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(topic));
        let distinct = u32::from_be_bytes([a, b, c, d]);
        format!("{}-{distinct:08x}", readable.trim_matches('-')).trim_start_matches('-').into()
    }

    /// The namespace and name of the pipeline that has claimed it.
    pub fn claimed_by(&self) -> Option<(&str, &str)> {
        claimed_by(&self.metadata)
    }
}

fn claimed_by(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let labels = metadata.labels.as_ref()?;
    Some((labels.get(CLAIMED_NAMESPACE)?, labels.get(CLAIMED_NAME)?))
}
