//! Which range of each partition is read again.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use fluxo_store::{Store, offsets::StoredOffsets};

use super::Found;
use crate::{
    kafka::{self, Identity},
    settings::{Bound, Replay, Settings},
};

/// What Kafka tells of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Where `from` and `to` are in it, if they are times: the first record then or later.
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// Asks Kafka and the database for what the range means.
pub(super) async fn find(settings: &Settings, store: &Store, wanted: &Replay) -> anyhow::Result<Found> {
    let topic = settings.kafka.kafka_topic.clone();
    let stored = store.offsets(&topic).await?;
    let client = kafka::outsider(&settings.kafka)?;
    let asked = wanted.clone();
    let (found, logs) = tokio::task::spawn_blocking(move || {
        let found = kafka::describe(&client, &topic)?;
        let ends = kafka::logs(&client, &topic, found.partitions)?;
        let all: Vec<_> = ends.keys().copied().collect();
        let at = |bound| match bound {
            Some(Bound::Time(time)) => kafka::offsets_at(&client, &topic, &all, time),
            Some(Bound::Offset(_)) | None => Ok(BTreeMap::new()),
        };
        let (from, to) = (at(Some(asked.from))?, at(asked.to)?);
        let log = |(partition, (start, end)): (i32, (i64, i64))| {
            let at = |times: &BTreeMap<i32, Option<i64>>| times.get(&partition).copied().flatten();
            (partition, Log { start, end, from: at(&from), to: at(&to) })
        };
        anyhow::Ok((found, ends.into_iter().map(log).collect::<BTreeMap<_, _>>()))
    })
    .await??;
    let ranges = decide(wanted, &found, &stored, &logs)?;
    Ok((found.topic_id, ranges))
}

/// From where to where each partition is read. Pure.
pub(super) fn decide(
    wanted: &Replay,
    found: &Identity,
    stored: &StoredOffsets,
    logs: &BTreeMap<i32, Log>,
) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
    let chosen: Vec<i32> =
        if wanted.partition.is_empty() { logs.keys().copied().collect() } else { wanted.partition.clone() };
    let is_offset = |bound: &Bound| matches!(bound, Bound::Offset(_));
    ensure!(
        chosen.len() == 1 || !(is_offset(&wanted.from) || wanted.to.as_ref().is_some_and(is_offset)),
        "an offset is one partition's: name it by --partition, or take a time"
    );
    let mut ranges = BTreeMap::new();
    for partition in chosen {
        let log = logs.get(&partition).with_context(|| format!("the topic has no partition {partition}"))?;
        // The listeners have not begun with it: what is there is theirs to write, in its order.
        let Some(stored) = stored.get(&partition) else { continue };
        ensure!(
            stored.topic_id == found.topic_id && stored.cluster_id == found.cluster_id,
            "the topic was made anew, or this is another cluster: `listener adopt` comes first"
        );
        let from = match wanted.from {
            Bound::Offset(offset) => offset,
            Bound::Time(_) => log.from.unwrap_or(log.end),
        };
        // At a time that leads to the start of a log there may have been others before.
        let is_cut = match wanted.from {
            Bound::Offset(offset) => offset < log.start,
            Bound::Time(_) => log.start > 0 && from <= log.start,
        };
        ensure!(
            !is_cut,
            "Kafka no longer has all of this range: the first record of partition {partition} is at offset {start}; \
             begin there by --partition {partition} --from {start}, or leave it out",
            start = log.start
        );
        let to = match wanted.to {
            None => stored.next_offset,
            Some(Bound::Offset(offset)) => offset,
            Some(Bound::Time(_)) => log.to.unwrap_or(log.end),
        };
        ranges.insert(partition, (from, to.min(stored.next_offset).min(log.end)));
    }
    Ok(ranges)
}
