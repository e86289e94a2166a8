//! A range of a topic, read by a client that is in no group: it takes no partition from anybody, and moves no offset.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use fluxo_core::{Position, Timestamp, settings::KafkaSettings};
use fluxo_store::record::RawRecord;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{TIMEOUT, outsider_config, poll::raw};

/// Records of some partitions, each from an offset up to, but not including, another.
pub struct Range {
    client: BaseConsumer,
    /// The end of each partition that is still read.
    ends: BTreeMap<i32, i64>,
}

impl Range {
    /// Begins to read.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn open(
        kafka: &KafkaSettings,
        topic: &str,
        ranges: &BTreeMap<i32, (i64, i64)>,
    ) -> anyhow::Result<Self> {
        let mut config = outsider_config(kafka)?;
        config
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("enable.partition.eof", "true");
        let client: BaseConsumer = config.create().context("the settings of Kafka cannot be used")?;
        let (mut start, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
        for (partition, (from, to)) in ranges.iter().filter(|(_, (from, to))| from < to) {
            start.add_partition_offset(topic, *partition, Offset::Offset(*from))?;
            ends.insert(*partition, *to);
        }
        client.assign(&start)?;
        Ok(Self { client, ends })
    }

    /// The next records, each partition's in their order, so many at most; none when all was read. Blocks.
    ///
    /// # Errors
    /// When Kafka does not answer, or a record is no longer there.
    pub fn next(&mut self, most: usize) -> anyhow::Result<Vec<(Position, RawRecord)>> {
        let mut records = Vec::new();
        while records.len() < most && !self.ends.is_empty() {
            match self.client.poll(TIMEOUT) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(end) = self.ends.get(&partition).copied() else { continue };
                    if offset < end {
                        records.push((Position { partition, offset }, raw(&message)));
                    }
                    if offset + 1 >= end {
                        self.ends.remove(&partition);
                    }
                }
                // What lies before the end may be no record: Kafka's own marks have offsets too.
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(self.ends.remove(&partition)),
                Some(Err(error)) => return Err(error).context("the topic cannot be read"),
                None => bail!("Kafka sent nothing for {} s", TIMEOUT.as_secs()),
            }
        }
        Ok(records)
    }
}

/// The first offset of each partition whose record has a timestamp then or later; `None` where there is none. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub fn offsets_at(
    client: &BaseConsumer,
    topic: &str,
    partitions: &[i32],
    time: Timestamp,
) -> anyhow::Result<BTreeMap<i32, Option<i64>>> {
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        // A question for a time has it in the place of the offset.
        asked.add_partition_offset(topic, *partition, Offset::Offset(time.micros().div_euclid(1_000)))?;
    }
    let found = client.offsets_for_times(asked, TIMEOUT)?;
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    Ok(found.elements().iter().map(|part| (part.partition(), offset(part.offset()))).collect())
}
