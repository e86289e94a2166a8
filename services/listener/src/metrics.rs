//! What the listener measures.
#![allow(clippy::disallowed_types, reason = "durations of metrics are seconds in f64")]

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use fluxo_core::{Timestamp, quarantine::Reason};
use fluxo_store::{
    quarantine::Backlog,
    record::{NotRecorded, Report},
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

/// The prefix of each metric's name.
const PREFIX: &str = "fluxo_listener";

/// What the listener measures.
#[derive(Clone, Debug)]
pub struct Metrics {
    records: Family<Outcome, Counter<u64, AtomicU64>>,
    batches: Family<Outcome, Counter<u64, AtomicU64>>,
    batch_records: Histogram,
    batch_duration: Histogram,
    age: Histogram,
    alone: Counter<u64, AtomicU64>,
    stopped: Family<Because, Gauge<i64, AtomicI64>>,
    forwarded: Counter<u64, AtomicU64>,
    not_forwarded: Family<Because, Counter<u64, AtomicU64>>,
    unforwarded: Gauge<i64, AtomicI64>,
    unforwarded_age: Gauge<i64, AtomicI64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let metrics = Self {
            records: Family::default(),
            batches: Family::default(),
            batch_records: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            batch_duration: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            age: Histogram::new(exponential_buckets(0.002, 2.0, 16)),
            alone: Counter::default(),
            stopped: Family::default(),
            forwarded: Counter::default(),
            not_forwarded: Family::default(),
            unforwarded: Gauge::default(),
            unforwarded_age: Gauge::default(),
        };
        registry.register(
            "records",
            "Records that reached the database, by what became of them",
            metrics.records.clone(),
        );
        registry.register(
            "batches",
            "Transactions of the database, by how they ended",
            metrics.batches.clone(),
        );
        registry.register(
            "batch_records",
            "Records of a transaction of the database",
            metrics.batch_records.clone(),
        );
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            "batch_duration",
            "Duration of a transaction of the database",
            seconds,
            metrics.batch_duration.clone(),
        );
        registry.register_with_unit(
            "record_age",
            "Time from acceptance to the row, of the oldest of each batch",
            Unit::Seconds,
            metrics.age.clone(),
        );
        registry.register(
            "batches_alone",
            "Batches that other writers had to wait for: an account is in two partitions",
            metrics.alone.clone(),
        );
        registry.register(
            "stopped_partitions",
            "Partitions that wait for a person to decide",
            metrics.stopped.clone(),
        );
        metrics.register_forwarding(registry);
        metrics
    }

    fn register_forwarding(&self, registry: &mut Registry) {
        registry.register(
            "forwarded",
            "Records in quarantine that the dead-letter topic has got",
            self.forwarded.clone(),
        );
        registry.register(
            "not_forwarded",
            "Times that forwarding failed: of one record (too_large, refused, foreign) or of all (kafka, database)",
            self.not_forwarded.clone(),
        );
        registry.register(
            "unforwarded_records",
            "Records in quarantine, of this listener's partitions, that the dead-letter topic has yet to get; at most \
             10000 are counted",
            self.unforwarded.clone(),
        );
        registry.register_with_unit(
            "unforwarded_age",
            "How long the oldest of them waits",
            Unit::Seconds,
            self.unforwarded_age.clone(),
        );
    }

    /// A batch was recorded.
    pub fn recorded(&self, report: &Report, took: Duration, oldest: Option<Duration>) {
        Self::outcome(&self.batches, "recorded", 1);
        Self::outcome(&self.records, "recorded", report.recorded);
        Self::outcome(&self.records, "duplicate", report.duplicates);
        for reason in Reason::ALL {
            let count = report.refused.iter().filter(|refused| **refused == reason).count();
            Self::outcome(&self.records, reason.as_str(), count);
        }
        let records =
            u32::try_from(report.recorded + report.duplicates + report.refused.len()).unwrap_or(u32::MAX);
        self.batch_records.observe(f64::from(records));
        self.batch_duration.observe(took.as_secs_f64());
        if let Some(oldest) = oldest {
            self.age.observe(oldest.as_secs_f64());
        }
        self.alone.inc_by(u64::from(report.alone));
    }

    /// A batch was not recorded.
    pub fn not_recorded(&self, failure: &NotRecorded) {
        let outcome = match failure {
            NotRecorded::Fenced => "fenced",
            NotRecorded::Unconfirmed => "unconfirmed",
            NotRecorded::Contended => "contended",
            NotRecorded::Database(error) => error.label(),
        };
        Self::outcome(&self.batches, outcome, 1);
    }

    /// A partition stopped for a reason, or goes on.
    pub fn stopped(&self, reason: &'static str, by: i64) {
        self.stopped.get_or_create(&Because { reason }).inc_by(by);
    }

    /// The dead-letter topic has got a record.
    pub fn forwarded(&self) {
        self.forwarded.inc();
    }

    /// Forwarding failed for a reason.
    pub fn not_forwarded(&self, reason: &'static str) {
        self.not_forwarded.get_or_create(&Because { reason }).inc();
    }

    /// This much the dead-letter topic has yet to get.
    pub fn backlog(&self, backlog: &Backlog, now: Timestamp) {
        let age = backlog.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        self.unforwarded.set(i64::try_from(backlog.rows).unwrap_or(i64::MAX));
        self.unforwarded_age.set(i64::try_from(age).unwrap_or(i64::MAX));
    }

    fn outcome(family: &Family<Outcome, Counter<u64, AtomicU64>>, outcome: &'static str, count: usize) {
        if count > 0 {
            family.get_or_create(&Outcome { outcome }).inc_by(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use fluxo_core::TopicId;
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::sink::Stop;

    #[test]
    fn the_generated_table_of_metrics_is_the_one_that_was_kept() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let report =
            Report { recorded: 1, duplicates: 1, refused: Reason::ALL.to_vec(), ..Report::default() };
        metrics.recorded(&report, Duration::ZERO, None);
        for failure in [NotRecorded::Fenced, NotRecorded::Unconfirmed, NotRecorded::Contended] {
            metrics.not_recorded(&failure);
        }
        let topic = || TopicId::parse("a").unwrap();
        for stop in [
            Stop::TopicReplaced { stored: topic(), found: topic() },
            Stop::ClusterReplaced { stored: String::new(), found: String::new() },
            Stop::Gap { stored: 0, log_start: 1 },
            Stop::BeyondEnd { stored: 1, log_end: 0 },
            Stop::NewerVersion { offset: 0, version: 2 },
        ] {
            metrics.stopped(stop.label(), 1);
        }
        for reason in ["too_large", "refused", "foreign", "kafka", "database"] {
            metrics.not_forwarded(reason);
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        fluxo_golden::check(file, &fluxo_golden::table::metrics("listener", &text));
    }
}
