//! Where a partition may go on: by what the database holds and what is on Kafka. Pure.

use fluxo_store::offsets::{StoredOffset, StoredOffsets};

use crate::{
    kafka::Identity,
    sink::{Resolution, Stop},
};

/// What is decided for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on, or nowhere.
    Known(Resolution),
    /// It has no offset yet: give it this one, and ask again.
    Begin(StoredOffset),
}

/// Decides for a partition whose log holds the offsets from `log_start` up to, but not including, `log_end`.
pub fn decide(
    stored: &StoredOffsets,
    found: &Identity,
    partition: i32,
    (log_start, log_end): (i64, i64),
) -> Decision {
    let stop = |stop| Decision::Known(Resolution::Stop(stop));
    // One partition of another topic stops all: a topic that was made anew may have more partitions than before. Or
    // fewer: those that it has no longer do not count, so that a person's decision can be complete.
    let mut there =
        stored.range(..i32::try_from(found.partitions).unwrap_or(i32::MAX)).map(|(_, stored)| stored);
    if let Some(other) = there.clone().find(|stored| stored.topic_id != found.topic_id) {
        return stop(Stop::TopicReplaced { stored: other.topic_id.clone(), found: found.topic_id.clone() });
    }
    if let Some(other) = there.find(|stored| stored.cluster_id != found.cluster_id) {
        let (stored, found) = (other.cluster_id.clone(), found.cluster_id.clone());
        return stop(Stop::ClusterReplaced { stored, found });
    }
    match stored.get(&partition).map(|stored| stored.next_offset) {
        None => Decision::Begin(StoredOffset {
            cluster_id: found.cluster_id.clone(),
            topic_id: found.topic_id.clone(),
            next_offset: log_start,
        }),
        Some(stored) if stored < log_start => stop(Stop::Gap { stored, log_start }),
        Some(stored) if stored > log_end => stop(Stop::BeyondEnd { stored, log_end }),
        Some(stored) => Decision::Known(Resolution::Start(stored)),
    }
}

#[cfg(test)]
mod tests {
    use fluxo_core::TopicId;

    use super::*;

    fn topic(id: &str) -> TopicId {
        TopicId::parse(id).unwrap()
    }

    fn stored(offsets: &[(i32, &str, &str, i64)]) -> StoredOffsets {
        let row = |cluster: &str, id: &str, next_offset| StoredOffset {
            cluster_id: cluster.into(),
            topic_id: topic(id),
            next_offset,
        };
        offsets.iter().map(|(partition, cluster, id, next)| (*partition, row(cluster, id, *next))).collect()
    }

    fn found() -> Identity {
        Identity { cluster_id: "c1".into(), topic_id: topic("t1"), partitions: 2 }
    }

    #[test]
    fn a_partition_goes_on_where_the_database_says() {
        for next in [5, 7, 9] {
            assert_eq!(
                decide(&stored(&[(0, "c1", "t1", next)]), &found(), 0, (5, 9)),
                Decision::Known(Resolution::Start(next))
            );
        }
    }

    #[test]
    fn a_partition_without_an_offset_begins_at_the_start_of_its_log() {
        let Decision::Begin(begun) = decide(&stored(&[(1, "c1", "t1", 3)]), &found(), 0, (5, 9)) else {
            panic!("it has no offset")
        };
        assert_eq!(begun, StoredOffset { cluster_id: "c1".into(), topic_id: topic("t1"), next_offset: 5 });
    }

    #[test]
    fn a_topic_that_was_made_anew_stops_all_its_partitions() {
        for partition in [0, 1] {
            let decided = decide(&stored(&[(0, "c1", "t0", 7)]), &found(), partition, (0, 9));
            let stop = Stop::TopicReplaced { stored: topic("t0"), found: topic("t1") };
            assert_eq!(decided, Decision::Known(Resolution::Stop(stop)));
        }
    }

    #[test]
    fn partitions_that_a_topic_made_anew_has_no_longer_do_not_stop_it() {
        let adopted = stored(&[(0, "c1", "t1", 7), (1, "c1", "t1", 0), (2, "c1", "t0", 3)]);
        assert_eq!(decide(&adopted, &found(), 0, (0, 9)), Decision::Known(Resolution::Start(7)));
    }

    #[test]
    fn another_cluster_stops_a_partition() {
        let decided = decide(&stored(&[(0, "c0", "t1", 7)]), &found(), 0, (0, 9));
        let stop = Stop::ClusterReplaced { stored: "c0".into(), found: "c1".into() };
        assert_eq!(decided, Decision::Known(Resolution::Stop(stop)));
    }

    #[test]
    fn an_offset_outside_the_log_stops_a_partition() {
        let decided = |next| decide(&stored(&[(0, "c1", "t1", next)]), &found(), 0, (5, 9));
        let (gap, beyond) =
            (Stop::Gap { stored: 4, log_start: 5 }, Stop::BeyondEnd { stored: 10, log_end: 9 });
        assert!(gap.to_string().starts_with("1 records were deleted unread"));
        assert_eq!(decided(4), Decision::Known(Resolution::Stop(gap)));
        assert_eq!(decided(10), Decision::Known(Resolution::Stop(beyond)));
    }
}
