//! What librdkafka calls back with: its log, and the last failure of the connection.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::{ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};

/// Keeps the last failure, which says why there is no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Context(Arc<Mutex<Option<String>>>);

impl Context {
    /// The last failure since the last question.
    pub(super) fn last_error(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Context {
    /// A broker that is away is said in a condition, by whoever asked: a line each second would say nothing more.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(kafka.facility = facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // That all are down is true of every failure: what went before says why.
        if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {}
