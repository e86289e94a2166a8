//! The custom resource `TransactionPipeline`: its types, and the schema that the API server validates it by.
//!
//! Comments of fields are what `kubectl explain` prints. What can be checked by looking at the resource alone is
//! checked by the schema, most of it by rules in CEL, and each message says what to do. What needs another object is
//! no business of this module, nor is what is made of the resource.
//!
//! Numbers of Kubernetes are `i32` and `i64` here as they are there; their bounds are in the schema.
#![allow(clippy::doc_markdown, reason = "the comments of fields are the help of `kubectl explain`")]
#![allow(unreachable_pub, reason = "`KubeSchema` copies each type into a function")]

mod api;
mod kafka;
mod listener;
mod mysql;
mod pod;
mod schema;
mod status;

use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use api::{Api, Auth, AuthMode, HttpRoute, Ingress, IngressTls, ParentRef};
pub use kafka::{DeadLetter, DeletionPolicy, Kafka, KafkaTls, Sasl, SaslMechanism, Strimzi, Topic};
pub use listener::{Listener, Scaling, ScalingMode};
pub use mysql::{Migrate, Mysql, MysqlTls, TlsMode};
pub use pod::{Image, NetworkPolicy, PodTemplate, PullPolicy};
pub use status::{ConditionType, Decision, Inputs, PipelineStatus, Reason, Workload};

/// Where an authority's certificate lies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaSecret {
    /// Name of the Secret, in the pipeline's namespace.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub name: String,
    /// Key of the Secret that holds the certificates of the authority, in PEM. Default: ca.crt
    #[serde(default = "ca_key")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::key())]
    pub key: String,
}

/// A user's name and password, in a Secret of the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of the Secret, in the pipeline's namespace. When it changes, the pods that use it are replaced, one by one.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub secret: String,
    /// Key of the Secret that holds the user's name. Default: username
    #[serde(default = "username_key")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::key())]
    pub username_key: String,
    /// Key of the Secret that holds the user's password. Default: password
    #[serde(default = "password_key")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::key())]
    pub password_key: String,
}

/// What a pipeline is to be.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, CustomResource, KubeSchema)]
#[kube(
    group = "fluxo.dev",
    version = "v1alpha1",
    kind = "TransactionPipeline",
    plural = "transactionpipelines",
    shortname = "txp",
    category = "fluxo",
    namespaced,
    derive = "PartialEq",
    status = "PipelineStatus",
    doc = "A pipeline of financial transactions: an api that takes them in over HTTP, a Kafka topic that orders them, and listeners that keep each of them exactly once in MySQL. `kubectl wait --for=condition=Ready txp/NAME` waits until all of it serves.",
    scale(
        spec_replicas_path = ".spec.listener.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether all of the pipeline serves"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is Ready or not"),
    printcolumn(name = "Lag", type_ = "integer", format = "int64", json_path = ".status.lag", description = "Records that were accepted and are not yet in MySQL; empty when unknown"),
    printcolumn(name = "Age of oldest", type_ = "string", json_path = ".status.oldestAge", description = "How long the oldest of these records has waited; empty when unknown"),
    printcolumn(name = "Replicas", type_ = "integer", format = "int32", json_path = ".status.replicas", description = "Listeners that there are"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".spec.kafka.topic.name", description = "The topic of transactions"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "What is waited for, or what to do", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "How long there has been this pipeline"),
    validation = schema::pipeline_name(),
    validation = schema::partitions_never_shrink(),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.listener.scaling.maxReplicas) || self.listener.scaling.maxReplicas <= self.kafka.topic.partitions")
        .message("maxReplicas is above kafka.topic.partitions, and a listener without a partition does nothing: lower maxReplicas, or remove it to allow one listener a partition")
        .field_path(".listener.scaling.maxReplicas"),
    validation = Rule::new("self.listener.scaling.minReplicas <= self.kafka.topic.partitions")
        .message("minReplicas is above kafka.topic.partitions, and a listener without a partition does nothing: lower minReplicas")
        .field_path(".listener.scaling.minReplicas"),
)]
pub struct TransactionPipelineSpec {
    /// The Kafka that orders the transactions, and the topics in it.
    pub kafka: Kafka,
    /// The MySQL that keeps the transactions.
    pub mysql: Mysql,
    /// The api: takes transactions in over HTTP and answers questions about them.
    pub api: Api,
    /// The listeners: keep in MySQL what the topic holds.
    #[serde(default)]
    pub listener: Listener,
    /// The images that run. Default: those that the operator was installed with.
    #[serde(default)]
    pub image: Image,
    /// What all pods of the pipeline get: where they may run, and what they carry.
    #[serde(default)]
    pub pod_template: PodTemplate,
    /// Who may reach the pods.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// Whether the operator leaves everything as it is: nothing is made, changed, repaired or scaled until this is
    /// false again. The pods go on serving; deleting the pipeline still deletes them. Default: false
    #[serde(default)]
    pub paused: bool,
}

/// The CustomResourceDefinition, as JSON.
pub fn definition() -> Value {
    let mut definition = serde_json::to_value(TransactionPipeline::crd()).expect("a definition is JSON");
    schema::join_lines(&mut definition);
    definition
}

/// The CustomResourceDefinition, as YAML: what `operator crd` prints and `crds/` holds.
pub fn yaml() -> String {
    let yaml = serde_saphyr::to_string(&definition()).expect("JSON is YAML");
    format!(
        "# Printed by `operator crd`. Do not edit: change operator/src/crd and run `make generate`.\n{yaml}"
    )
}

fn ca_key() -> String {
    "ca.crt".into()
}

fn username_key() -> String {
    "username".into()
}

fn password_key() -> String {
    "password".into()
}

#[cfg(test)]
mod tests;
