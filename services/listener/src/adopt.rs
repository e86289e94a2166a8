//! `listener adopt`: a person has decided where to go on.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use fluxo_core::TopicId;
use fluxo_store::{
    Store,
    offsets::{StoredOffset, StoredOffsets},
};

use crate::{
    chain,
    kafka::{self, Identity},
    settings::{Adopt, Settings},
};

/// Sets the stored offsets of the topic as a person has decided.
///
/// # Errors
/// When the topic is not the one that was named, or the decision cannot be carried out.
pub async fn adopt(settings: &Settings, decision: &Adopt) -> anyhow::Result<()> {
    let store = Store::open(&settings.database).await?;
    store.ping().await.map_err(|error| anyhow::anyhow!("{}", chain(&error)))?;
    let topic = settings.kafka.kafka_topic.clone();
    let stored = store.offsets(&topic).await?;
    let client = kafka::outsider(&settings.kafka)?;
    let (found, logs) = tokio::task::spawn_blocking(move || {
        let found = kafka::describe(&client, &topic)?;
        let logs = kafka::logs(&client, &topic, found.partitions)?;
        anyhow::Ok((found, logs))
    })
    .await??;
    let topic_id = TopicId::parse(&decision.topic_id).context("--topic-id is not the id of a topic")?;
    ensure!(
        topic_id == found.topic_id,
        "topic {} has the id {}, not {topic_id}: look again, then name the one that is there",
        settings.kafka.kafka_topic,
        found.topic_id
    );
    let offsets = offsets(&decision.from, &found, &stored, &logs)?;
    store.adopt_offsets(&settings.kafka.kafka_topic, &offsets).await?;
    for (partition, offset) in &offsets {
        tracing::warn!(kafka.partition = partition, kafka.offset = offset.next_offset, "adopted");
    }
    Ok(())
}

/// The offsets that a decision means. Pure.
fn offsets(
    from: &str,
    found: &Identity,
    stored: &StoredOffsets,
    logs: &BTreeMap<i32, (i64, i64)>,
) -> anyhow::Result<StoredOffsets> {
    let named = if from.contains(':') { named(from)? } else { BTreeMap::new() };
    let mut offsets = StoredOffsets::new();
    for (partition, (log_start, log_end)) in logs {
        let next_offset = match from {
            "earliest" => *log_start,
            "latest" => *log_end,
            "stored" => stored.get(partition).map_or(*log_start, |stored| stored.next_offset.clamp(*log_start, *log_end)),
            _ => *named.get(partition).with_context(|| {
                format!("--from names no offset for partition {partition}; it is earliest, latest, stored, or 0:17,1:4")
            })?,
        };
        ensure!(
            (*log_start..=*log_end).contains(&next_offset),
            "offset {next_offset} of partition {partition} is not between {log_start} and {log_end}"
        );
        let (cluster_id, topic_id) = (found.cluster_id.clone(), found.topic_id.clone());
        offsets.insert(*partition, StoredOffset { cluster_id, topic_id, next_offset });
    }
    if let Some(unknown) = named.keys().find(|partition| !logs.contains_key(partition)) {
        bail!("the topic has no partition {unknown}");
    }
    Ok(offsets)
}

/// Reads `0:17,1:4`.
fn named(from: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    from.split(',')
        .map(|pair| {
            let (partition, offset) = pair.split_once(':').context("--from must be like 0:17,1:4")?;
            Ok((partition.trim().parse()?, offset.trim().parse()?))
        })
        .collect::<anyhow::Result<_>>()
        .context("--from must be earliest, latest, stored, or like 0:17,1:4")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(from: &str) -> anyhow::Result<Vec<i64>> {
        let topic_id = TopicId::parse("t1").unwrap();
        let found = Identity { cluster_id: "c1".into(), topic_id: topic_id.clone(), partitions: 2 };
        let other = StoredOffset { cluster_id: "c0".into(), topic_id, next_offset: 99 };
        let stored = StoredOffsets::from([(0, other)]);
        let logs = BTreeMap::from([(0, (5, 9)), (1, (0, 3))]);
        let offsets = offsets(from, &found, &stored, &logs)?;
        assert!(offsets.values().all(|offset| offset.cluster_id == "c1"));
        Ok(offsets.values().map(|offset| offset.next_offset).collect())
    }

    #[test]
    fn a_decision_names_an_offset_for_every_partition() {
        assert_eq!(decided("earliest").unwrap(), [5, 0]);
        assert_eq!(decided("latest").unwrap(), [9, 3]);
        assert_eq!(decided("stored").unwrap(), [9, 0]);
        assert_eq!(decided("0:7,1:2").unwrap(), [7, 2]);
    }

    #[test]
    fn a_decision_that_cannot_be_carried_out_is_refused() {
        for bad in ["", "now", "0:7", "0:4,1:2", "0:7,1:2,2:0", "0:x,1:2"] {
            assert!(decided(bad).is_err(), "{bad}");
        }
    }
}
