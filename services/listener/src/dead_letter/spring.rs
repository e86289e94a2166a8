//! The headers of Spring for Apache Kafka: `kafka_dlt-*`, where numbers are big-endian and everything else is a text.

use fluxo_core::Position;
use fluxo_store::record::RawHeader;

use super::{Origin, class_of, last, last_text, reason_of, text, trace_of};

const TOPIC: &str = "kafka_dlt-original-topic";
const PARTITION: &str = "kafka_dlt-original-partition";
const OFFSET: &str = "kafka_dlt-original-offset";
const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
const GROUP: &str = "kafka_dlt-original-consumer-group";
const EXCEPTION: &str = "kafka_dlt-exception-fqcn";
const CAUSE: &str = "kafka_dlt-exception-cause-fqcn";
const MESSAGE: &str = "kafka_dlt-exception-message";
const TRACE: &str = "kafka_dlt-exception-stacktrace";

/// What Kafka's clients take for a record without a timestamp.
const NO_TIMESTAMP: i64 = -1;

/// The headers of a dead letter whose record had a timestamp, or none. Its kind is not kept: it is told to be the
/// producer's, which it is unless the topic says otherwise.
pub fn write(origin: &Origin, timestamp_ms: Option<i64>) -> [RawHeader; 10] {
    let number = |name: &str, bytes: &[u8]| RawHeader { name: name.to_owned(), value: Some(bytes.to_vec()) };
    [
        text(TOPIC, &origin.topic),
        number(PARTITION, &origin.position.partition.to_be_bytes()),
        number(OFFSET, &origin.position.offset.to_be_bytes()),
        number(TIMESTAMP, &timestamp_ms.unwrap_or(NO_TIMESTAMP).to_be_bytes()),
        text(TIMESTAMP_TYPE, if timestamp_ms.is_some() { "CreateTime" } else { "NoTimestampType" }),
        text(GROUP, &origin.group),
        text(EXCEPTION, &class_of(origin.reason)),
        text(CAUSE, &class_of(origin.reason)),
        text(MESSAGE, origin.reason.explanation()),
        text(TRACE, &trace_of(origin.reason)),
    ]
}

/// What the headers tell, and the timestamp that the record had; `None` for those of somebody else.
pub fn read(headers: &[RawHeader]) -> Option<(Origin, Option<i64>)> {
    let partition = i32::from_be_bytes(last(headers, PARTITION)?.try_into().ok()?);
    let offset = i64::from_be_bytes(last(headers, OFFSET)?.try_into().ok()?);
    let timestamp_ms = i64::from_be_bytes(last(headers, TIMESTAMP)?.try_into().ok()?);
    let origin = Origin {
        topic: last_text(headers, TOPIC)?.to_owned(),
        position: Position { partition, offset },
        group: last_text(headers, GROUP)?.to_owned(),
        reason: reason_of(last_text(headers, EXCEPTION)?)?,
    };
    Some((origin, (timestamp_ms != NO_TIMESTAMP).then_some(timestamp_ms)))
}
