//! What librdkafka tells the producer, on the producer's own thread.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};
use serde::Deserialize;
use tokio::sync::Notify;

use super::Delivery;

/// What is called with the outcome of a record, once.
pub(super) struct Report(pub(super) Box<dyn FnOnce(Delivery) + Send + Sync>);

/// Receives what librdkafka tells.
pub(super) struct Context(pub(super) Arc<State>);

/// What is known of one producer.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A broker is connected.
    pub(super) is_connected: AtomicBool,
    /// Kafka has given the producer its id, without which an idempotent one sends nothing.
    pub(super) has_id: AtomicBool,
    /// What went wrong last, for people.
    last_error: Mutex<Option<String>>,
    /// Something of this changed.
    pub(super) changed: Notify,
}

impl State {
    /// What went wrong last.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, flag: &AtomicBool, value: bool) {
        if flag.swap(value, Relaxed) != value {
            self.changed.notify_one();
        }
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka adds how long it had tried, which would make each report another one.
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        tracing::debug!(%error, reason, "librdkafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.set(&self.0.is_connected, false);
        } else {
            *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
            // It may be a fatal one: librdkafka does not say so here.
            self.0.changed.notify_one();
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics<'_>>(statistics) else { return };
        // Only here is told that a broker is back.
        let is_connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.0.set(&self.0.is_connected, is_connected);
        if statistics.eos.idemp_state == "Assigned" {
            self.0.set(&self.0.has_id, true);
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            tracing::debug!(%error, "a record was not acknowledged");
        }
        (report.0)(Delivery::of(result));
    }
}

/// The few statistics that are read.
#[derive(Deserialize)]
struct Statistics<'a> {
    #[serde(borrow)]
    brokers: HashMap<&'a str, Broker<'a>>,
    #[serde(borrow)]
    eos: Eos<'a>,
}

#[derive(Deserialize)]
struct Broker<'a> {
    state: &'a str,
}

#[derive(Deserialize)]
struct Eos<'a> {
    idemp_state: &'a str,
}
