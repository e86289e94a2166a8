//! Where Kafka is, and which topics the pipeline has in it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecret, Credentials, schema};

/// The configuration of a topic, where `config` does not say otherwise.
const TOPIC_CONFIG: [(&str, &str); 4] = [
    ("cleanup.policy", "delete"),
    ("min.insync.replicas", "2"),
    ("retention.ms", "2592000000"),
    ("unclean.leader.election.enable", "false"),
];

/// The Kafka that orders the transactions, and the topics in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.strimzi) != has(self.bootstrapServers)")
        .message("say where Kafka is in one of two ways: strimzi for a cluster that Strimzi runs, bootstrapServers for any other"),
    validation = Rule::new("!has(self.strimzi) || !has(self.tls) && !has(self.sasl)")
        .message("tls and sasl belong to bootstrapServers: remove them, since with strimzi they follow from its listener and user"),
    validation = Rule::new("!has(self.sasl) || self.sasl.mechanism != 'PLAIN' || has(self.tls)")
        .message("PLAIN sends the password to whoever listens: add tls, or use SCRAM-SHA-512"),
    validation = Rule::new("has(self.strimzi) == has(oldSelf.strimzi)")
        .message("a pipeline stays with its way to Kafka, since the transactions that are not yet in MySQL lie there: make another pipeline for the other cluster"),
    validation = Rule::new("!has(self.deadLetter.name) || self.deadLetter.name != self.topic.name")
        .message("refused records would come back as transactions: give the dead-letter topic a name of its own, such as transactions.dlq")
        .field_path(".deadLetter.name"),
    validation = Rule::new("self.topic.name != oldSelf.topic.name || (has(self.deadLetter.name) ? self.deadLetter.name : self.topic.name + '.dlq') == (has(oldSelf.deadLetter.name) ? oldSelf.deadLetter.name : oldSelf.topic.name + '.dlq')")
        .message("the dead-letter topic cannot be renamed: its records would stay behind; set the name back")
        .field_path(".deadLetter.name"),
)]
pub struct Kafka {
    /// A cluster that Strimzi runs: topics are KafkaTopic resources beside it, and how to reach and trust the brokers
    /// follows from the Kafka resource. Either this or bootstrapServers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strimzi: Option<Strimzi>,
    /// The brokers of any other cluster to ask first, as host:port, separated by commas. Topics are then made by the
    /// operator itself. They may change, as long as they are of the same cluster: a listener refuses to go on at
    /// another. Either this or strimzi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches('^([-a-zA-Z0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}(,([-a-zA-Z0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5})*$')")
        .message("must be host:port, and more of them after commas without spaces, such as kafka-0:9092,kafka-1:9092"))]
    pub bootstrap_servers: Option<String>,
    /// TLS to the brokers of bootstrapServers; {} trusts the authorities that the image knows. Default: no TLS
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// The user who logs in to the brokers of bootstrapServers. Default: nobody logs in
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// The topic of transactions.
    #[serde(default)]
    pub topic: Topic,
    /// The topic that gets each record which can never be kept, with the reason.
    #[serde(default)]
    pub dead_letter: DeadLetter,
    /// What becomes of the topics when the pipeline is deleted. Retain keeps them: a pipeline of the same namespace and
    /// name takes them up again, and no other does unless a person says so. Delete deletes them with every record, also
    /// those that are not yet in MySQL, but no topic that was never seen as this pipeline's. What is in MySQL always
    /// stays. Default: Retain
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A cluster that Strimzi runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.cluster == oldSelf.cluster && has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)")
        .message("a pipeline stays at its cluster, since the transactions that are not yet in MySQL lie there: set cluster and namespace back, or make another pipeline"),
)]
pub struct Strimzi {
    /// Name of the Kafka resource. It cannot change.
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub cluster: String,
    /// Namespace of the Kafka resource, and of the KafkaTopics and the KafkaUser. It cannot change. In another
    /// namespace than the pipeline's, the KafkaUser must be annotated fluxo.dev/allowed-namespaces with the pipeline's;
    /// without a user, the Kafka must. Default: the pipeline's namespace
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = schema::namespace())]
    pub namespace: Option<String>,
    /// Name of the listener of the Kafka resource to connect to. Default: the only one; else the one whose
    /// authentication is the user's, internal before external, the first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 11))]
    pub listener: Option<String>,
    /// Name of the KafkaUser to connect as, for a listener with authentication. It must be allowed to write and read
    /// both topics, and to use the consumer group fluxo.NAMESPACE.NAME. Default: no user
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub user: Option<String>,
}

/// TLS to brokers that Strimzi does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTls {
    /// The authority that signed the brokers' certificates. Default: those that the image knows
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<CaSecret>,
    /// Name of a Secret of type kubernetes.io/tls (tls.crt, tls.key) with which the pods show who they are.
    /// Default: they do not
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = schema::object_name())]
    pub certificate_secret: Option<String>,
}

/// How a user logs in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// How the password is shown to the brokers. PLAIN needs tls. Default: SCRAM-SHA-512
    #[serde(default)]
    pub mechanism: SaslMechanism,
    /// The user's name and password.
    pub credentials: Credentials,
}

/// How the password is shown to the brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum SaslMechanism {
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "PLAIN")]
    Plain,
}

/// The topic of transactions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.partitions <= oldSelf.partitions || has(self.acknowledgePartitionGrowth) && self.acknowledgePartitionGrowth == self.partitions")
        .message("more partitions move accounts to other partitions, where their transactions can overtake those before: let the lag fall to 0 without traffic, then set acknowledgePartitionGrowth to the new number as well")
        .field_path(".partitions"),
    validation = Rule::new("!has(self.config) || !('cleanup.policy' in self.config) || self.config['cleanup.policy'] == 'delete'")
        .message("cleanup.policy must be delete: compaction would delete transactions of an account that has later ones")
        .field_path(".config"),
    validation = Rule::new("!has(self.config) || !('unclean.leader.election.enable' in self.config) || self.config['unclean.leader.election.enable'] == 'false'")
        .message("unclean.leader.election.enable must be false: an unclean leader forgets transactions that clients were told are accepted")
        .field_path(".config"),
    validation = Rule::new("!has(self.config) || !('min.insync.replicas' in self.config) || self.config['min.insync.replicas'].matches('^[1-9][0-9]{0,4}$') && int(self.config['min.insync.replicas']) <= self.replicas")
        .message("min.insync.replicas must be a number from 1 to replicas: above it nothing could ever be accepted")
        .field_path(".config"),
    validation = Rule::new("!has(self.config) || !('retention.ms' in self.config) || self.config['retention.ms'] == '-1' || self.config['retention.ms'].matches('^[1-9][0-9]{0,17}$') && int(self.config['retention.ms']) >= 3600000")
        .message("retention.ms must be milliseconds, at least 3600000 (an hour), or -1 for ever: what Kafka deletes before it is in MySQL is lost")
        .field_path(".config"),
)]
pub struct Topic {
    /// Name of the topic. It cannot change. One pipeline has it; a second one is not Ready, with the reason
    /// AlreadyClaimed. One that is there already is taken if it never had a record, or this pipeline's group has read
    /// it; any other only if the pipeline is annotated fluxo.dev/adopt-topics with its id. Default: transactions
    #[serde(default = "topic_name")]
    #[schemars(length(min = 1, max = 245))]
    #[x_kube(
        validation = schema::topic_name(),
        validation = Rule::new("self == oldSelf").message("a topic cannot be renamed, since the transactions that are not yet in MySQL lie in it: set the name back, or make another pipeline"),
    )]
    pub name: String,
    /// How many partitions the topic has, which is the most listeners that can work at once. All transactions of an
    /// account are in one partition, in order. The number never falls below what the topic has, and grows only with
    /// acknowledgePartitionGrowth. Default: 12
    #[serde(default = "partitions")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: i32,
    /// Says that the growth of partitions to this number, and to no other, is meant. From the moment of growth most
    /// accounts are in another partition than before: their new transactions can be kept before older ones that still
    /// wait, so the order within such an account breaks at that moment, and balance_after with it; nothing is lost or
    /// doubled. Grow while nothing is sent and the lag is 0, and the order holds. Default: none is meant
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub acknowledge_partition_growth: Option<i32>,
    /// On how many brokers each record is. Beside Strimzi a change is carried out where Cruise Control runs; elsewhere
    /// it is what the topic is made with, and declares afterwards what kafka-reassign-partitions has made of it.
    /// Default: 3
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// Configuration of the topic, by the names of Kafka, as text: retention.ms: "604800000". What is not named is
    /// left alone, but for these defaults: cleanup.policy delete, retention.ms 2592000000 (30 days),
    /// min.insync.replicas 2 (1 with one replica), unclean.leader.election.enable false.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::texts")]
    pub config: BTreeMap<String, String>,
}

impl Topic {
    /// What is declared of the topic's configuration, by the pipeline or by default.
    pub fn configuration(&self) -> BTreeMap<String, String> {
        let mut configuration: BTreeMap<_, _> =
            TOPIC_CONFIG.map(|(name, value)| (name.into(), value.into())).into();
        if self.replicas == 1 {
            configuration.insert("min.insync.replicas".into(), "1".into());
        }
        configuration.extend(self.config.clone());
        configuration
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            name: topic_name(),
            partitions: partitions(),
            acknowledge_partition_growth: None,
            replicas: replicas(),
            config: BTreeMap::new(),
        }
    }
}

/// The topic of records that can never be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Name of the topic. It cannot change. It has the partitions, replicas and retention of the topic of transactions,
    /// and takes records that are 64 KiB larger. Default: the name of the topic of transactions and .dlq
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    #[x_kube(validation = schema::topic_name())]
    pub name: Option<String>,
}

/// What becomes of the topics when the pipeline is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// They are deleted with every record.
    Delete,
}

impl Kafka {
    /// The name of the dead-letter topic, said or not.
    pub fn dead_letter_name(&self) -> String {
        self.dead_letter.name.clone().unwrap_or_else(|| format!("{}.dlq", self.topic.name))
    }
}

fn topic_name() -> String {
    "transactions".into()
}

const fn partitions() -> i32 {
    12
}

const fn replicas() -> i32 {
    3
}
