//! What is seen at one moment. Kafka, the pods, the api and the database each tell a part; what a part does not tell
//! is unknown.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Rate;
use crate::lag::{Reading, TopicOffsets, Unknown};

/// What is seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// When, since any fixed moment; it never goes back.
    #[serde(with = "super::millis", rename = "atMs")]
    pub at: Duration,
    /// The listeners that there are.
    pub replicas: Replicas,
    /// Where the group stands in the topic.
    pub offsets: Reading<TopicOffsets>,
    /// The group.
    pub group: Reading<Group>,
    /// What the api tells.
    pub api: Reading<Api>,
    /// What each listener records, as its pod tells, by the pod's name.
    pub rates: Reading<BTreeMap<String, Rate>>,
    /// What the listeners tell of the database.
    pub database: Reading<Database>,
}

/// Listeners, as the Deployment tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// How many there should be.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
}

/// A consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What it does.
    pub state: GroupState,
    /// How many members it has.
    pub members: u32,
}

/// What a consumer group does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupState {
    /// It shares the partitions out.
    Rebalancing,
    /// Each member has its partitions.
    Stable,
    /// It has no members.
    Empty,
}

/// What the api tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// What it takes in: this is known before any of it is lag.
    pub accepts: Rate,
}

/// What the listeners tell of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// How long the slower batches take, at the 99th percentile.
    #[serde(with = "super::millis", rename = "batchP99Ms")]
    pub batch_p99: Duration,
    /// How many connections are in use.
    pub connections: u32,
}

impl Observation {
    /// One of which only the listeners are known.
    pub const fn unknown(at: Duration, replicas: Replicas) -> Self {
        Self {
            at,
            replicas,
            offsets: Err(Unknown::NotAsked),
            group: Err(Unknown::NotAsked),
            api: Err(Unknown::NotAsked),
            rates: Err(Unknown::NotAsked),
            database: Err(Unknown::NotAsked),
        }
    }

    pub(super) fn partitions(&self) -> Option<u32> {
        let offsets = self.offsets.as_ref().ok()?;
        u32::try_from(offsets.partitions.len()).ok().filter(|count| *count > 0)
    }

    pub(super) fn lag(&self) -> Reading<u64> {
        self.offsets.as_ref().map_err(Clone::clone).and_then(TopicOffsets::lag)
    }

    pub(super) fn known_lag(&self) -> u64 {
        self.offsets.as_ref().map_or(0, TopicOffsets::known_lag)
    }
}
