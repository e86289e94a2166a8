//! The metrics of the api. Labels come from closed sets; no id, account or client is one.

use std::{sync::Arc, time::Duration};

use fluxo_store::Error as StoreError;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{Admission, kafka::Delivery};

/// The prefix of each metric's name.
const PREFIX: &str = "fluxo_api";

/// Counts what the api does.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<Request, Counter>,
    duration: Family<Route, Histogram>,
    delivered: Counter,
    not_persisted: Counter,
    unknown: Counter,
    refusals: Family<Refusal, Counter>,
    pub(crate) replays: Counter,
    pub(crate) keys_failures: Counter,
    pub(crate) stream_followers: Gauge,
    pub(crate) stream_catch_ups: Gauge,
    pub(crate) stream_gaps: Counter,
    database_up: Gauge,
    database_errors: Family<Kind, Counter>,
}

/// Why a request was refused before anything was done for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    Unauthenticated,
    Forbidden,
    RateLimited,
    Concurrency,
    Backlog,
    Streams,
}

impl Refused {
    /// Its name, as a label has it.
    const fn label(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Concurrency => "concurrency",
            Self::Backlog => "backlog",
            Self::Streams => "streams",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Metrics {
    /// Registers them, and what is in flight.
    pub(crate) fn register(registry: &mut Registry, admission: Admission) -> Self {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(Box::new(admission));
        let duration: Family<Route, Histogram> = Family::new_with_constructor(latency);
        let records: Family<Outcome, Counter> = Family::default();
        let of = |outcome| records.get_or_create_owned(&Outcome { outcome });
        let metrics = Self {
            requests: Family::default(),
            duration: duration.clone(),
            delivered: of("delivered"),
            not_persisted: of("not_persisted"),
            unknown: of("unknown"),
            refusals: Family::default(),
            replays: Counter::default(),
            keys_failures: Counter::default(),
            stream_followers: Gauge::default(),
            stream_catch_ups: Gauge::default(),
            stream_gaps: Counter::default(),
            database_up: Gauge::default(),
            database_errors: Family::default(),
        };
        registry.register("requests", "Requests by their answer", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from the head of a request to that of its answer",
            Unit::Seconds,
            duration,
        );
        registry.register("records", "Records handed to Kafka by what became of them", records);
        registry.register(
            "refusals",
            "Requests refused before anything was done for them",
            metrics.refusals.clone(),
        );
        registry.register("idempotent_replays", "Records that were accepted before", metrics.replays.clone());
        registry.register(
            "keys_reload_failures",
            "Times that the key file could not be used",
            metrics.keys_failures.clone(),
        );
        metrics.register_streams(registry);
        registry.register("database_up", "Whether the database answers", metrics.database_up.clone());
        registry.register(
            "database_errors",
            "Reads of the database that failed",
            metrics.database_errors.clone(),
        );
        metrics
    }

    fn register_streams(&self, registry: &mut Registry) {
        registry.register("stream_followers", "Streams that are open", self.stream_followers.clone());
        registry.register(
            "stream_catch_ups",
            "Streams that are behind and have a reader of their own",
            self.stream_catch_ups.clone(),
        );
        registry.register(
            "stream_gaps",
            "Times that a stream had to tell of a gap",
            self.stream_gaps.clone(),
        );
    }

    /// A request was answered. `route` is the template of its path, never the path.
    pub(crate) fn request(&self, method: &'static str, route: &Arc<str>, status: u16, time: Duration) {
        self.requests.get_or_create(&Request { method, route: route.clone(), status }).inc();
        self.duration.get_or_create(&Route { route: route.clone() }).observe(time.as_secs_f64());
    }

    /// A record's delivery was reported.
    pub(crate) fn record(&self, delivery: Delivery) {
        match delivery {
            Delivery::Persisted => self.delivered.inc(),
            Delivery::NotPersisted => self.not_persisted.inc(),
            Delivery::Unknown => self.unknown.inc(),
        };
    }

    /// A request was refused.
    pub(crate) fn refused(&self, why: Refused) {
        self.refusals.get_or_create(&Refusal { reason: why.label() }).inc();
    }

    /// The database answers, or does not.
    pub(crate) fn database_up(&self, is_up: bool) {
        self.database_up.set(is_up.into());
    }

    /// A read of the database failed; `None` when it took too long.
    pub(crate) fn database_error(&self, error: Option<&StoreError>) {
        let kind = error.map_or("timeout", StoreError::label);
        self.database_errors.get_or_create(&Kind { kind }).inc();
    }
}

/// From 0.25 ms to 32 s, doubling.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn the_generated_table_of_metrics_is_the_one_that_was_kept() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, Admission::new(1, 1));
        metrics.request("GET", &"/openapi.json".into(), 200, Duration::ZERO);
        metrics.database_error(None);
        for why in [
            Refused::Unauthenticated,
            Refused::Forbidden,
            Refused::RateLimited,
            Refused::Concurrency,
            Refused::Backlog,
            Refused::Streams,
        ] {
            metrics.refused(why);
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        fluxo_golden::check(file, &fluxo_golden::table::metrics("api", &text));
    }
}
