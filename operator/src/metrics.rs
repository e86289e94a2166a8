//! What the operator measures.
#![allow(clippy::disallowed_types, reason = "durations of metrics are seconds in f64")]

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

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

/// The bounds by which passes over pipelines are counted, in seconds: fine where one that has nothing to do ends.
const PASSES: [f64; 20] = [
    0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 15.0, 60.0,
];
/// The prefix of each metric's name.
const PREFIX: &str = "fluxo_operator";

/// What the operator measures. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Counter<u64, AtomicU64>,
    failures: Family<Because, Counter<u64, AtomicU64>>,
    duration: Histogram,
    writes: Family<Write, Counter<u64, AtomicU64>>,
    watch_failures: Family<Watch, Counter<u64, AtomicU64>>,
    leading: Gauge<i64, AtomicI64>,
    lag: Family<Pipeline, Gauge<i64, AtomicI64>>,
    replicas: Family<Pipeline, Gauge<i64, AtomicI64>>,
    lag_unknown: Family<Because, Counter<u64, AtomicU64>>,
    lag_rounds: Histogram,
    decisions: Family<Because, Counter<u64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    kind: String,
}

/// A pipeline, as the label of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pipeline {
    namespace: String,
    pipeline: String,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let metrics = Self {
            reconciles: Counter::default(),
            failures: Family::default(),
            duration: Histogram::new(PASSES),
            writes: Family::default(),
            watch_failures: Family::default(),
            leading: Gauge::default(),
            lag: Family::default(),
            replicas: Family::default(),
            lag_unknown: Family::default(),
            lag_rounds: Histogram::new(exponential_buckets(0.002, 2.0, 14)),
            decisions: Family::default(),
        };
        let of = |metrics: &Self| metrics.clone();
        let Self { reconciles, failures, duration, writes, watch_failures, .. } = of(&metrics);
        registry.register("reconciles", "How often a pipeline was looked at", reconciles);
        registry.register("reconcile_failures", "How often that failed, by the step", failures);
        let seconds = || Unit::Seconds;
        registry.register_with_unit("reconcile_duration", "How long it took", seconds(), duration);
        registry.register("writes", "Requests that change something at the API server, by kind", writes);
        registry.register("watch_failures", "Watches that ended with an error, by kind", watch_failures);
        let Self { leading, lag, replicas, lag_unknown, lag_rounds, decisions, .. } = of(&metrics);
        registry.register("leading", "Whether this process is the one that works", leading);
        registry.register("lag_records", "Accepted records that are not yet in the database", lag);
        registry.register("listeners_wanted", "Listeners that there are to be", replicas);
        registry.register("lag_unknown", "How often lag could not be read, by reason", lag_unknown);
        let help = "How long the lag of a pipeline took to read";
        registry.register_with_unit("lag_round", help, seconds(), lag_rounds);
        registry.register("scalings", "Changes of the number of listeners, by reason", decisions);
        metrics
    }

    /// A pipeline was looked at.
    pub fn reconciled(&self, took: Duration, failed: Option<&'static str>) {
        self.reconciles.inc();
        self.duration.observe(took.as_secs_f64());
        if let Some(reason) = failed {
            self.failures.get_or_create(&Because { reason }).inc();
        }
    }

    /// Something is changed at the API server.
    pub fn wrote(&self, kind: &str) {
        self.writes.get_or_create(&Write { kind: kind.to_owned() }).inc();
    }

    /// A watch ended with an error.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_failures.get_or_create(&Watch { kind: kind.to_owned() }).inc();
    }

    /// This process works now, or no longer.
    pub fn leads(&self, leads: bool) {
        self.leading.set(i64::from(leads));
    }

    /// The lag of a pipeline was read, or could not be.
    pub fn saw(&self, (namespace, pipeline): (&str, &str), lag: Result<u64, &'static str>, wanted: u32) {
        let of = Pipeline { namespace: namespace.into(), pipeline: pipeline.into() };
        match lag {
            Ok(lag) => {
                self.lag.get_or_create(&of).set(i64::try_from(lag).unwrap_or(i64::MAX));
            }
            // A number that is no longer true is worse than none.
            Err(reason) => {
                self.lag.remove(&of);
                self.lag_unknown.get_or_create(&Because { reason }).inc();
            }
        }
        self.replicas.get_or_create(&of).set(i64::from(wanted));
    }

    /// A pipeline is gone.
    pub fn forget(&self, (namespace, pipeline): (&str, &str)) {
        let of = Pipeline { namespace: namespace.into(), pipeline: pipeline.into() };
        self.lag.remove(&of);
        self.replicas.remove(&of);
    }

    /// The lag of a pipeline was read, or could not be, in this time.
    pub fn lag_round(&self, took: Duration) {
        self.lag_rounds.observe(took.as_secs_f64());
    }

    /// A number of listeners was written.
    pub fn scaled(&self, reason: &'static str) {
        self.decisions.get_or_create(&Because { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn the_generated_table_of_metrics_is_the_one_that_was_kept() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.reconciled(Duration::ZERO, Some("apply"));
        metrics.wrote("Deployment");
        metrics.watch_failed("Deployment");
        metrics.saw(("bank", "payments"), Err("away"), 1);
        metrics.saw(("bank", "payments"), Ok(1), 1);
        metrics.scaled("Backlog");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        fluxo_golden::check(file, &fluxo_golden::table::metrics("operator", &text));
    }
}
