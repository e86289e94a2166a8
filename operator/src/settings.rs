//! The settings of the operator's process. What the chart sets, it sets through these.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "the comments of settings are their help")]

use std::time::Duration;

use clap::Args;
use fluxo_core::settings::{RunSettings, duration};

/// The least of the lag interval: each turn asks Kafka, and a timer of nothing would end the process.
const LAG_INTERVAL_LEAST: Duration = Duration::from_millis(50);
/// The least of the resync: each asks the API server for the Secrets, and Kafka for the topics, of every pipeline.
const RESYNC_LEAST: Duration = Duration::from_secs(1);

/// What `operator run` runs with.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub run: RunSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub operator: OperatorSettings,
}

/// What only the operator has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Operator")]
pub struct OperatorSettings {
    /// Namespaces whose pipelines are kept true, separated by commas. Without it all are, and the operator needs rights
    /// in the whole cluster
    #[arg(long, env = "FLUXO_OPERATOR_NAMESPACES", value_delimiter = ',')]
    pub operator_namespaces: Vec<String>,
    /// Further namespaces in which Strimzi's Kafka, KafkaUser and KafkaTopic resources, and the Secrets that pipelines
    /// name there, may be read, separated by commas. Without it and without FLUXO_OPERATOR_NAMESPACES all may
    #[arg(long, env = "FLUXO_OPERATOR_KAFKA_NAMESPACES", value_delimiter = ',')]
    pub operator_kafka_namespaces: Vec<String>,
    /// Namespace of the operator's Lease. Default: the one that it runs in
    #[arg(long, env = "FLUXO_OPERATOR_NAMESPACE")]
    pub operator_namespace: Option<String>,
    /// Name of the Lease: of all operators with this one, one works and the others wait
    #[arg(long, env = "FLUXO_OPERATOR_LEASE", default_value = "fluxo-operator")]
    pub operator_lease: String,
    /// What this process is called in the Lease and in events, such as the name of its pod. Default: a random name
    #[arg(long, env = "FLUXO_OPERATOR_IDENTITY")]
    pub operator_identity: Option<String>,
    /// How many pipelines are worked on at once, from 1 to 256
    #[arg(long, env = "FLUXO_OPERATOR_CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub operator_concurrency: u16,
    /// How often all is looked at again, from 1s, though nothing is known to have changed: Secrets, and topics without
    /// Strimzi
    #[arg(long, env = "FLUXO_OPERATOR_RESYNC", default_value = "60s", value_parser = at_least(RESYNC_LEAST))]
    pub operator_resync: Duration,
    /// How often the lag of each pipeline is read, from 50ms; where nothing moved for a minute, every 5 s
    #[arg(long, env = "FLUXO_OPERATOR_LAG_INTERVAL", default_value = "1s", value_parser = at_least(LAG_INTERVAL_LEAST))]
    pub operator_lag_interval: Duration,
    /// How many questions about lag are under way at once, from 1 to 256
    #[arg(long, env = "FLUXO_OPERATOR_LAG_QUESTIONS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub operator_lag_questions: u16,
    /// What the names of the images begin with, registry included, for pipelines that do not say it
    #[arg(long, env = "FLUXO_OPERATOR_IMAGE_REPOSITORY", default_value = "ghcr.io/fluxo/fluxo")]
    pub operator_image_repository: String,
    /// Tag of the images, for pipelines that do not say it
    #[arg(long, env = "FLUXO_OPERATOR_IMAGE_TAG", default_value = env!("CARGO_PKG_VERSION"))]
    pub operator_image_tag: String,
}

impl OperatorSettings {
    /// Where pipelines and what they own are watched; `None` for the whole cluster.
    pub fn namespaces(&self) -> Vec<Option<&str>> {
        match &*self.operator_namespaces {
            [] => vec![None],
            some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
        }
    }

    /// Where Strimzi's resources are watched; `None` for the whole cluster.
    pub fn kafka_namespaces(&self) -> Vec<Option<&str>> {
        let mut all: Vec<_> =
            self.operator_namespaces.iter().chain(&self.operator_kafka_namespaces).collect();
        all.sort_unstable();
        all.dedup();
        match &*all {
            [] => vec![None],
            some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
        }
    }
}

fn at_least(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        duration(text)
            .and_then(|time| (time >= least).then_some(time).ok_or(format!("must be at least {least:?}")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        operator: OperatorSettings,
    }

    fn parse(flag: &str) -> Result<OperatorSettings, String> {
        let parsed = Program::try_parse_from(["operator", flag]);
        parsed.map(|program| program.operator).map_err(|error| error.to_string())
    }

    #[test]
    fn an_interval_that_is_next_to_nothing_is_refused_with_the_least() {
        for (flag, least) in [
            ("--operator-lag-interval=0s", "50ms"),
            ("--operator-lag-interval=49ms", "50ms"),
            ("--operator-resync=0s", "1s"),
            ("--operator-resync=999ms", "1s"),
        ] {
            let message = parse(flag).unwrap_err();
            assert!(message.contains(&format!("must be at least {least}")), "{message}");
        }
        assert_eq!(parse("--operator-lag-interval=50ms").unwrap().operator_lag_interval, LAG_INTERVAL_LEAST);
        assert_eq!(parse("--operator-resync=1s").unwrap().operator_resync, RESYNC_LEAST);
        assert!(parse("--operator-resync=1").unwrap_err().contains("must be a number with a unit"));
    }
}
