//! Consumer lag, as a value: what a group has yet to read of a topic, and what is not known of it.
//!
//! Nothing here asks Kafka. What could not be told stays [`Unknown`], with its cause, and never becomes a number.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// What was read, or why it could not be.
pub type Reading<T> = Result<T, Unknown>;

/// Why something is not known. It is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unknown {
    /// Nobody asked, or nobody can tell yet.
    NotAsked,
    /// Kafka did not answer in time, or cannot be reached.
    Away(String),
    /// Kafka answered with an error.
    Refused(String),
    /// There is no such topic.
    NoTopic,
    /// The group's offset is beyond the end of the log: the topic was made anew, or lost its end.
    BeyondEnd {
        /// The committed offset.
        committed: i64,
        /// The last stable offset.
        last_stable: i64,
    },
}

/// Where a group stands in a partition, as offsets of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offsets {
    /// The next record that the group reads, as it committed it; `None` before its first commit.
    pub committed: Option<i64>,
    /// The first record that Kafka still has.
    pub log_start: i64,
    /// The end of what may be read: the record after the last that belongs to no open transaction.
    pub last_stable: i64,
}

/// Where a group stands in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicOffsets {
    /// The topic's id: another one is another topic, though under the same name.
    pub topic_id: String,
    /// Every partition of the topic.
    pub partitions: BTreeMap<i32, Reading<Offsets>>,
}

impl Offsets {
    /// The next record of the group that Kafka still has. Without a commit that is the first one: a group that never
    /// committed has everything before it.
    pub fn position(&self) -> i64 {
        self.committed.unwrap_or(self.log_start).max(self.log_start)
    }

    /// How many offsets the group has yet to read. Markers of transactions count, so a few may be no records.
    ///
    /// # Errors
    /// When the group stands beyond the end.
    pub fn lag(&self) -> Reading<u64> {
        u64::try_from(self.last_stable - self.position())
            .map_err(|_| Unknown::BeyondEnd { committed: self.position(), last_stable: self.last_stable })
    }
}

impl TopicOffsets {
    /// The lag of each partition.
    pub fn lags(&self) -> impl Iterator<Item = (i32, Reading<u64>)> {
        self.partitions.iter().map(|(partition, offsets)| {
            (*partition, offsets.as_ref().map_err(Clone::clone).and_then(Offsets::lag))
        })
    }

    /// The lag of all partitions together.
    ///
    /// # Errors
    /// When that of any partition is not known, with the first such cause.
    pub fn lag(&self) -> Reading<u64> {
        self.lags().map(|(_, lag)| lag).sum()
    }

    /// The lag of those partitions whose lag is known: there is at least so much.
    pub fn known_lag(&self) -> u64 {
        self.lags().filter_map(|(_, lag)| lag.ok()).sum()
    }
}

impl Unknown {
    /// Its name, for a metric or a condition.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotAsked => "NotAsked",
            Self::Away(_) => "KafkaAway",
            Self::Refused(_) => "KafkaError",
            Self::NoTopic => "NoTopic",
            Self::BeyondEnd { .. } => "OffsetBeyondEnd",
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not measured yet"),
            Self::Away(why) => write!(f, "Kafka cannot be reached: {why}"),
            Self::Refused(why) => write!(f, "Kafka answers: {why}"),
            Self::NoTopic => f.write_str("the topic does not exist"),
            Self::BeyondEnd { committed, last_stable } => write!(
                f,
                "the group stands at offset {committed}, beyond the end {last_stable}: was the topic made anew? See `listener adopt`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(committed: Option<i64>, log_start: i64, last_stable: i64) -> Offsets {
        Offsets { committed, log_start, last_stable }
    }

    fn topic(partitions: impl IntoIterator<Item = Reading<Offsets>>) -> TopicOffsets {
        TopicOffsets { topic_id: "id".into(), partitions: (0..).zip(partitions).collect() }
    }

    #[test]
    fn lag_begins_at_what_kafka_still_has() {
        assert_eq!(offsets(Some(7), 5, 10).lag(), Ok(3));
        assert_eq!(offsets(Some(2), 5, 10).lag(), Ok(5));
        assert_eq!(offsets(None, 5, 10).lag(), Ok(5));
        assert_eq!(offsets(Some(10), 5, 10).lag(), Ok(0));
    }

    #[test]
    fn a_group_beyond_the_end_has_an_unknown_lag_and_not_none() {
        let beyond = Unknown::BeyondEnd { committed: 11, last_stable: 10 };
        assert_eq!(offsets(Some(11), 0, 10).lag(), Err(beyond));
    }

    #[test]
    fn one_unknown_partition_makes_the_whole_unknown() {
        let known = topic([Ok(offsets(Some(1), 0, 4)), Ok(offsets(None, 0, 2))]);
        assert_eq!((known.lag(), known.known_lag()), (Ok(5), 5));
        let partly = topic([Ok(offsets(Some(1), 0, 4)), Err(Unknown::Away("gone".into()))]);
        assert_eq!((partly.lag(), partly.known_lag()), (Err(Unknown::Away("gone".into())), 3));
    }
}
