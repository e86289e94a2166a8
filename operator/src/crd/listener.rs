//! The listeners, and how many there are.

use std::time;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{pod, schema};

/// The listeners: keep in MySQL what the topic holds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// How many listeners run when scaling.mode is Fixed or External; with Auto and Recommend it is not read. `kubectl
    /// scale`, a HorizontalPodAutoscaler and KEDA write it. Of more than there are partitions, or than
    /// mysql.maxConnections is enough for, only as many run; with 0 nothing is kept until there are some again.
    /// Default: 1
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: i32,
    /// Who decides how many listeners run, and by what.
    #[serde(default)]
    pub scaling: Scaling,
    /// Resources of each pod. Default: requests of 100m cpu and 128Mi memory, and a limit of 256Mi memory
    #[serde(default = "pod::resources")]
    #[schemars(schema_with = "schema::resources")]
    #[x_kube(validation = schema::quantities(), validation = schema::requests_within_limits())]
    pub resources: ResourceRequirements,
}

impl Default for Listener {
    fn default() -> Self {
        Self { replicas: one(), scaling: Scaling::default(), resources: pod::resources() }
    }
}

/// Who decides how many listeners run, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas is above maxReplicas: lower the one, or raise the other")
        .field_path(".minReplicas"),
)]
pub struct Scaling {
    /// Auto: the operator, by the lag. Recommend: the operator decides and writes its decisions into the status, but
    /// leaves the number of listeners as it is. External: a HorizontalPodAutoscaler or KEDA, through the scale
    /// subresource. Fixed: you, through listener.replicas. Default: Auto
    #[serde(default)]
    pub mode: ScalingMode,
    /// The fewest listeners, in Auto and Recommend. Default: 1
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub min_replicas: i32,
    /// The most listeners, in Auto and Recommend: at most kafka.topic.partitions. Default: as many as there are
    /// partitions. Never more than mysql.maxConnections is enough for
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: Option<i32>,
    /// How long a transaction may wait in the topic before more listeners are added, from 100ms to 1h. Default: 5s
    #[serde(default = "target_age")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = schema::duration("100ms", "1h"))]
    pub target_age: Duration,
    /// Within which time a backlog is to be worked off, from 1s to 24h: the shorter, the more listeners are added for
    /// it. Default: 60s
    #[serde(default = "catch_up")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = schema::duration("1s", "24h"))]
    pub catch_up: Duration,
    /// For how long fewer listeners must have been enough before one is taken away, from 0s to 24h. Default: 300s
    #[serde(default = "scale_in_delay")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = schema::duration("0s", "24h"))]
    pub scale_in_delay: Duration,
    /// How often in an hour the number of listeners may change: each change makes the group share out the partitions
    /// anew, and work stands still meanwhile. Default: 12
    #[serde(default = "max_rebalances_per_hour")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_rebalances_per_hour: i32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::default(),
            min_replicas: one(),
            max_replicas: None,
            target_age: target_age(),
            catch_up: catch_up(),
            scale_in_delay: scale_in_delay(),
            max_rebalances_per_hour: max_rebalances_per_hour(),
        }
    }
}

/// Who decides how many listeners run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ScalingMode {
    /// The operator, by the lag.
    #[default]
    Auto,
    /// The operator says what it would do.
    Recommend,
    /// A HorizontalPodAutoscaler or KEDA.
    External,
    /// A person.
    Fixed,
}

const fn one() -> i32 {
    1
}

fn target_age() -> Duration {
    time::Duration::from_secs(5).into()
}

fn catch_up() -> Duration {
    time::Duration::from_mins(1).into()
}

fn scale_in_delay() -> Duration {
    time::Duration::from_mins(5).into()
}

const fn max_rebalances_per_hour() -> i32 {
    12
}
