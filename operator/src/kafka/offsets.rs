//! Where a group stands in a topic, asked by a client that never joins it.

use std::collections::BTreeMap;

use super::{
    Error, Kafka,
    native::{
        Asker,
        offsets::{self, ByPartition, End},
        topics,
    },
};
use crate::{
    lag::{Offsets, Reading, TopicOffsets, Unknown},
    scaling::Group,
};

impl Kafka {
    /// Where a group stands in every partition of a topic: three questions for all of them, one after another, each
    /// within the timeout.
    ///
    /// # Errors
    /// When nothing can be told of the topic; what cannot be told of a partition is unknown there.
    pub async fn offsets(&self, group: &str, topic: &str) -> Reading<TopicOffsets> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        Ok(self.ask(move |asker| read(asker, &group, &topic)).await?)
    }

    /// What a group does.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub async fn group(&self, group: &str) -> Reading<Group> {
        let group = group.to_owned();
        Ok(self.ask(move |asker| offsets::group(asker, &group)).await?)
    }
}

fn read(asker: &Asker<'_>, group: &str, topic: &str) -> Result<TopicOffsets, Error> {
    let described = topics::describe(asker, topic)?;
    let partitions: Vec<_> = described.replicas.into_keys().collect();
    // The commits first: whoever reads on meanwhile is then still before the end.
    let mut committed = offsets::committed(asker, group, topic, &partitions)?;
    let mut starts = offsets::logs(asker, topic, &partitions, End::Start)?;
    let mut ends = offsets::logs(asker, topic, &partitions, End::LastStable)?;
    let mut offsets = |partition| -> Reading<Offsets> {
        Ok(Offsets {
            committed: take(&mut committed, partition)?,
            log_start: take(&mut starts, partition)?,
            last_stable: take(&mut ends, partition)?,
        })
    };
    let partitions: BTreeMap<_, _> =
        partitions.into_iter().map(|partition| (partition, offsets(partition))).collect();
    Ok(TopicOffsets { topic_id: described.topic_id, partitions })
}

/// What was told of a partition; one of which nothing was told is unknown.
fn take<T>(told: &mut ByPartition<T>, partition: i32) -> Reading<T> {
    let told = told.remove(&partition).unwrap_or(Err(Error::NoAnswer("partition")));
    told.map_err(Unknown::from)
}
