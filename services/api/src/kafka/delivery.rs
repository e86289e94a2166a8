//! What became of a record, as librdkafka knows it.

use rdkafka::{
    bindings::{rd_kafka_message_status, rd_kafka_msg_status_t as Status},
    message::{BorrowedMessage, DeliveryResult},
};

/// What became of a record that was handed to the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All in-sync replicas have it.
    Persisted,
    /// It was never written, and never will be.
    NotPersisted,
    /// It was sent, and nobody can know whether it was written.
    Unknown,
}

impl Delivery {
    /// Sorts a delivery report.
    pub(super) fn of(report: &DeliveryResult<'_>) -> Self {
        match report {
            Ok(_) => Self::Persisted,
            Err((_, message)) => match status(message) {
                Status::RD_KAFKA_MSG_STATUS_PERSISTED => Self::Persisted,
                Status::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Self::NotPersisted,
                Status::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Self::Unknown,
            },
        }
    }
}

/// Whether a message was written. The Rust wrapper does not offer this call, and an error alone does not tell: a
/// record that timed out may have been written or not.
#[allow(unsafe_code, reason = "the Rust wrapper does not offer this call")]
fn status(message: &BorrowedMessage<'_>) -> Status {
    // SAFETY: the pointer is that of a message of a delivery report. The report's event, which `message` keeps a
    // reference to, owns it, so it is valid while `message` is. The call only reads it.
    unsafe { rd_kafka_message_status(message.ptr()) }
}
