//! Where a group stands in a topic, asked by a client that never joins it.

use std::collections::BTreeMap;

use fluxo_kafka::admin::{self, Admin, ByPartition, End};

use super::{Context, Error, Kafka};
use crate::{
    lag::{Offsets, Reading, TopicOffsets, Unknown},
    scaling::{Group, GroupState},
};

impl Kafka {
    /// Where a group stands in every partition of a topic: three questions for all of them, one after another, each
    /// within the timeout.
    ///
    /// # Errors
    /// When nothing can be told of the topic; what cannot be told of a partition is unknown there.
    pub async fn offsets(&self, group: &str, topic: &str) -> Reading<TopicOffsets> {
        let group = group.to_owned();
        Ok(self.ask(topic, move |admin, topic| read(admin, &group, topic)).await?)
    }

    /// What a group does.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub async fn group(&self, group: &str) -> Reading<Group> {
        let described = self.ask(group, |admin, group| {
            let admin::Group { state, members } = admin.group(group)?;
            let state = match state {
                admin::GroupState::Empty => GroupState::Empty,
                admin::GroupState::Stable => GroupState::Stable,
                admin::GroupState::Rebalancing => GroupState::Rebalancing,
            };
            Ok(Group { state, members: u32::try_from(members).unwrap_or(u32::MAX) })
        });
        Ok(described.await?)
    }
}

fn read(admin: &Admin<'_, Context>, group: &str, topic: &str) -> Result<TopicOffsets, admin::Error> {
    let described = admin.topic(topic)?;
    let partitions: Vec<_> = described.replicas.into_keys().collect();
    // The commits first: whoever reads on meanwhile is then still before the end.
    let mut committed = admin.committed(group, topic, &partitions)?;
    let mut starts = admin.log_offsets(topic, &partitions, End::Start)?;
    let mut ends = admin.log_offsets(topic, &partitions, End::LastStable)?;
    let mut offsets = |partition| -> Reading<Offsets> {
        Ok(Offsets {
            committed: take(&mut committed, topic, partition)?,
            log_start: take(&mut starts, topic, partition)?,
            last_stable: take(&mut ends, topic, partition)?,
        })
    };
    let partitions: BTreeMap<_, _> =
        partitions.into_iter().map(|partition| (partition, offsets(partition))).collect();
    Ok(TopicOffsets { topic_id: described.id, partitions })
}

/// What was told of a partition; one of which nothing was told is unknown.
fn take<T>(told: &mut ByPartition<T>, topic: &str, partition: i32) -> Reading<T> {
    let told = told.remove(&partition).unwrap_or(Err(admin::Error::NoAnswer("partition")));
    told.map_err(|error| Unknown::from(Error::of(error, topic)))
}
