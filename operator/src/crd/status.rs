//! What is said about a pipeline: conditions, figures and the last decisions.
//!
//! Only whole numbers and text, so that equal is equal: figures are rounded by whoever writes them, and nothing is
//! written that says the same as before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{KubeSchema, core::Duration};
use serde::{Deserialize, Serialize};

/// Names that are given out, each with the text that people and programs read.
macro_rules! names {
    ($(#[$of_all:meta])* $type:ident { $($(#[$of_one:meta])* $name:ident,)+ }) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$of_one])* $name,)+ }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// What a condition is about. Each is `True` when all is well, `False` when not, `Unknown` before it was looked at.
    ConditionType {
        /// All of the pipeline is as declared, and serves: every other condition is true, but for `Scaling`.
        Ready,
        /// Both topics are as declared.
        TopicsReady,
        /// The database has the schema that the images need.
        Migrated,
        /// The api is rolled out, and enough of its pods are ready.
        ApiAvailable,
        /// The listeners are rolled out, and enough of their pods are ready.
        ListenerAvailable,
        /// The number of listeners is the one that is wanted, and somebody can tell.
        Scaling,
    }
}

names! {
    /// Why a condition is what it is. A name that was given out once keeps its meaning: people alert on it.
    Reason {
        // Any condition.
        /// It is as declared.
        AsDeclared,
        /// The pipeline is paused: it is left as it is.
        Paused,
        /// The pipeline is being deleted.
        Deleting,
        /// Another condition must be true first; the message says which.
        Waiting,
        /// The resource says something that the schema lets pass and that cannot be; the message says what to do.
        InvalidSpec,
        /// The API server refused what is to be made, or could not be asked.
        ApiServerError,

        // What the pipeline refers to.
        /// A Secret, Kafka or KafkaUser is not there.
        ReferenceNotFound,
        /// It is there, but does not hold what it must: a key, a certificate in PEM, a listener.
        ReferenceInvalid,
        /// It is in another namespace, whose owner does not let this pipeline use it.
        ReferenceNotPermitted,
        /// An object of that name is there and is not of this pipeline: it is left alone.
        NameConflict,
        /// The topic or the database is another pipeline's.
        AlreadyClaimed,

        // Topics.
        /// Strimzi's Topic Operator has not answered yet.
        TopicPending,
        /// Kafka or Strimzi cannot make this change to a topic.
        NotSupported,
        /// Two KafkaTopics are of one topic, and this one is the later.
        ResourceConflict,
        /// Kafka refused, in its own words.
        KafkaError,
        /// Strimzi failed, in its own words.
        InternalError,
        /// The KafkaTopic is excluded from what Strimzi does.
        TopicUnmanaged,
        /// Kafka cannot be reached.
        KafkaUnreachable,
        /// The Kafka resource says that the cluster is not ready.
        KafkaNotReady,
        /// The topic has other partitions than declared, and may not be changed to them.
        PartitionsDiffer,
        /// The oldest unread record is older than half the retention: soon records are lost.
        RetentionAtRisk,

        // The schema of the database.
        /// The Job runs.
        Migrating,
        /// The Job failed; the pods from before go on.
        MigrationFailed,
        /// The Job could not reach MySQL, or MySQL refuses its user, a right, or the database.
        DatabaseUnreachable,

        // Workloads.
        /// New pods replace old ones.
        RollingOut,
        /// They do not become ready in time.
        RolloutStalled,
        /// Too few pods are ready.
        PodsNotReady,
        /// There are none, as declared.
        ScaledToZero,

        // Scaling.
        /// There are as many listeners as the lag asks for.
        Steady,
        /// There are more than before, since records wait longer than wanted.
        ScaledOut,
        /// There are fewer than before, since fewer were enough for long.
        ScaledIn,
        /// Fewer would be enough, but a backlog is being worked off, or not enough time has passed.
        ScaleInDelayed,
        /// It is said how many there should be, and they are left as they are.
        Recommending,
        /// Others decide, through the scale subresource.
        External,
        /// The number is fixed.
        Fixed,
        /// The lag cannot be known: none is taken away.
        LagUnknown,
        /// More are needed, or declared, than `maxReplicas`, the partitions or the connections of MySQL allow.
        AtMaximum,
        /// More would not help: the work is in too few partitions, or each has a listener.
        PartitionBound,
        /// More are needed, but the number has changed as often in this hour as it may.
        RebalanceBudgetSpent,
    }
}

/// What a pipeline was last seen to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the pipeline that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How the parts of the pipeline are: TopicsReady, Migrated, ApiAvailable, ListenerAvailable and Scaling. Ready is
    /// all of them but Scaling, since a pipeline whose listeners are at their maximum, or whose lag cannot be read for a
    /// moment, serves all the same. The message of one that is not True says what is waited for, or what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many listeners there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// What selects the pods of the listeners, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// How many records were accepted and are not yet in MySQL, rounded. Absent when unknown, which is not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// How long the oldest of these records has waited, rounded, such as 5s. Absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age: Option<Duration>,
    /// Id of the topic of transactions, as Kafka's tools print it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub topic_id: Option<String>,
    /// Id of the dead-letter topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub dead_letter_topic_id: Option<String>,
    /// How many partitions the topic has, which is the most listeners that can work at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Name of the dead-letter topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 249))]
    pub dead_letter_topic: Option<String>,
    /// Id of the cluster of Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cluster_id: Option<String>,
    /// The image by which the schema was last brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub migrated_by: Option<String>,
    /// The pods of the api.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Workload>,
    /// The pods of the listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Workload>,
    /// The last decisions about the number of listeners that changed it, or would have, the newest first: at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub decisions: Vec<Decision>,
}

/// Pods of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// The image that they are of; during a rollout the new one.
    #[schemars(length(max = 512))]
    pub image: String,
    /// How many are ready.
    pub ready_replicas: i32,
    /// How many are of this image and of the newest configuration.
    pub updated_replicas: i32,
}

/// A decision about the number of listeners, and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was made.
    pub at: Time,
    /// How many there were.
    pub from: i32,
    /// How many there are to be.
    pub to: i32,
    /// Why, such as ScaledOut.
    // Text: a decision of a newer operator must not make the whole resource unreadable to an older one.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What it was made from.
    pub inputs: Inputs,
}

/// What a decision was made from. What is absent was unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Records that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// How long the oldest of them has waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_age: Option<Duration>,
    /// Records that arrive in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_per_second: Option<i64>,
    /// Records that one listener keeps in a second, when it has enough to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_per_second_and_replica: Option<i64>,
    /// Partitions of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Listeners that were ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
}
