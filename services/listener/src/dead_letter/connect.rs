//! The headers of Kafka Connect's dead-letter queues: `__connect.errors.*`, each a text.

use fluxo_core::{Position, quarantine::Reason};
use fluxo_store::record::RawHeader;

use super::{Origin, class_of, last_text, reason_of, text, trace_of};

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const CONNECTOR: &str = "__connect.errors.connector.name";
const TASK: &str = "__connect.errors.task.id";
const STAGE: &str = "__connect.errors.stage";
const CLASS: &str = "__connect.errors.class.name";
const EXCEPTION: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";
const TRACE: &str = "__connect.errors.exception.stacktrace";

/// The headers of a dead letter. The group is the connector's name: Connect makes the one of the other.
pub fn write(origin: &Origin) -> [RawHeader; 10] {
    [
        text(TOPIC, &origin.topic),
        text(PARTITION, &origin.position.partition.to_string()),
        text(OFFSET, &origin.position.offset.to_string()),
        text(CONNECTOR, &origin.group),
        text(TASK, "0"),
        text(STAGE, stage(origin.reason)),
        text(CLASS, "fluxo.listener"),
        text(EXCEPTION, &class_of(origin.reason)),
        text(MESSAGE, origin.reason.explanation()),
        text(TRACE, &trace_of(origin.reason)),
    ]
}

/// What the headers tell; `None` for those of somebody else.
pub fn read(headers: &[RawHeader]) -> Option<Origin> {
    let partition = last_text(headers, PARTITION)?.parse().ok()?;
    let offset = last_text(headers, OFFSET)?.parse().ok()?;
    Some(Origin {
        topic: last_text(headers, TOPIC)?.to_owned(),
        position: Position { partition, offset },
        group: last_text(headers, CONNECTOR)?.to_owned(),
        reason: reason_of(last_text(headers, EXCEPTION)?)?,
    })
}

/// Where Connect would have met it: the names are those of its stages.
const fn stage(reason: Reason) -> &'static str {
    match reason {
        Reason::NotOurs => "VALUE_CONVERTER",
        Reason::KeyMismatch => "KEY_CONVERTER",
        Reason::Overflow | Reason::Conflict => "TASK_PUT",
    }
}
