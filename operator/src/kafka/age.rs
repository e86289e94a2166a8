//! How old the oldest record is that a group has yet to read.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    topic_partition_list::TopicPartitionListElem,
};

use super::{Context, Error, Kafka};
use crate::lag::{Reading, TopicOffsets};

/// How many partitions are read at most: those that lag most.
const PARTITIONS_MOST: usize = 32;

impl Kafka {
    /// When the oldest record was written that the group has yet to read; `None` when it has read all.
    ///
    /// One record of each partition that lags is fetched, of at most 32, on a connection that is made for it and is
    /// closed after it. So ask only now and then.
    ///
    /// # Errors
    /// When a partition's lag is unknown, or its record does not come within the timeout.
    pub async fn oldest_unread(
        &self,
        group: &str,
        topic: &str,
        offsets: &TopicOffsets,
    ) -> Reading<Option<SystemTime>> {
        let positions = positions(offsets)?;
        if positions.is_empty() {
            return Ok(None);
        }
        let positions = list(topic, &positions);
        let config = self.connection.reader(group);
        let timeout = self.timeout;
        let asked = tokio::task::spawn_blocking(move || {
            let context = Context::default();
            let reader: BaseConsumer<Context> =
                config.create_with_context(context.clone()).map_err(Error::Settings)?;
            first_timestamps(&reader, &positions, timeout)
                .map_err(|error| error.because(context.last_error()))
        });
        Ok(asked.await.expect("a reading does not panic, and is not cancelled")?)
    }
}

/// Where the group goes on in the partitions that lag most.
fn positions(offsets: &TopicOffsets) -> Reading<Vec<(i32, i64)>> {
    let mut lagging = vec![];
    for (partition, read) in &offsets.partitions {
        let read = read.as_ref().map_err(Clone::clone)?;
        if let lag @ 1.. = read.lag()? {
            lagging.push((lag, *partition, read.position()));
        }
    }
    lagging.sort_unstable_by(|one, other| other.cmp(one));
    lagging.truncate(PARTITIONS_MOST);
    Ok(lagging.into_iter().map(|(_, partition, position)| (partition, position)).collect())
}

fn list(topic: &str, positions: &[(i32, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, position) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*position))
            .expect("an offset that Kafka told is legal");
    }
    list
}

/// The earliest timestamp of the first records. A partition whose end comes first has none: what was left of it are
/// markers of transactions.
fn first_timestamps(
    reader: &BaseConsumer<Context>,
    positions: &TopicPartitionList,
    timeout: Duration,
) -> Result<Option<SystemTime>, Error> {
    let refused = |error: &KafkaError| Error::Refused(error.to_string());
    reader.assign(positions).map_err(|error| refused(&error))?;
    let mut waited_for: BTreeSet<_> =
        positions.elements().iter().map(TopicPartitionListElem::partition).collect();
    let mut oldest = None;
    let began = Instant::now();
    while !waited_for.is_empty() {
        let left = timeout.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(Error::Away(format!("no record within {timeout:?}")));
        }
        let read = match reader.poll(left) {
            None => continue,
            Some(Ok(message)) => {
                // A first time of several is the earliest that is known.
                if waited_for.contains(&message.partition())
                    && let Some(written @ 0..) = message.timestamp().to_millis()
                {
                    let written = SystemTime::UNIX_EPOCH + Duration::from_millis(written.unsigned_abs());
                    oldest = Some(oldest.map_or(written, |oldest: SystemTime| oldest.min(written)));
                }
                message.partition()
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => partition,
            // The connection's failures are tried again until the time is over; the context keeps the last.
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(code) if is_of_connection(code) => continue,
                _ => return Err(refused(&error)),
            },
        };
        waited_for.remove(&read);
    }
    Ok(oldest)
}

fn is_of_connection(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut
    )
}
