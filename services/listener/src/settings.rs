//! The settings of the listener.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "the comments of settings are their help")]

mod command;

use std::{num::NonZeroUsize, time::Duration};

use anyhow::ensure;
use clap::{Args, Parser, ValueEnum, builder::NonEmptyStringValueParser};
use fluxo_core::{
    kit::process,
    settings::{DatabaseSettings, KafkaSettings, RunSettings, duration},
};

pub use command::{Adopt, Bound, Command, Forward, List, Output, Quarantine, Replay, Retry, Show};

/// Reads accepted transactions from Kafka and keeps them in the database, exactly once each
#[derive(Clone, Debug, Parser)]
#[command(name = "listener", version)]
pub struct Settings {
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub run: RunSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub listener: ListenerSettings,
    /// What to do; without it, listen
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What only the listener has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Listener")]
pub struct ListenerSettings {
    /// The consumer group
    #[arg(long, env = "FLUXO_LISTENER_GROUP", default_value = "fluxo")]
    pub listener_group: String,
    /// The protocol of the consumer group. `consumer` (KIP-848) needs Kafka 4
    #[arg(long, env = "FLUXO_LISTENER_GROUP_PROTOCOL", default_value = "classic")]
    pub listener_group_protocol: GroupProtocol,
    /// How long the group waits for a listener that is silent, with the protocol classic
    #[arg(long, env = "FLUXO_LISTENER_SESSION_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub listener_session_timeout: Duration,
    /// How many connections write at once, each for partitions of its own. 1 to 16
    #[arg(long, env = "FLUXO_LISTENER_WRITERS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub listener_writers: u8,
    /// The most records of one transaction of the database. 1 to 16384
    #[arg(long, env = "FLUXO_LISTENER_BATCH_RECORDS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub listener_batch_records: u32,
    /// How long a record waits for others to be written with
    #[arg(long, env = "FLUXO_LISTENER_BATCH_LINGER", default_value = "5ms", value_parser = duration)]
    pub listener_batch_linger: Duration,
    /// How many bytes of records a writer holds, in all of their forms. 1048576 (1 MiB) to 1073741824 (1 GiB)
    #[arg(long, env = "FLUXO_LISTENER_BUFFER_BYTES", default_value_t = 4_194_304, value_parser = clap::value_parser!(u32).range(1_048_576..=1_073_741_824))]
    pub listener_buffer_bytes: u32,
    /// How many accounts a writer remembers the balance of. At least 1
    #[arg(long, env = "FLUXO_LISTENER_REMEMBERED_ACCOUNTS", default_value = "20000")]
    pub listener_remembered_accounts: NonZeroUsize,
    /// The topic that gets the records in quarantine. Without it they stay in the database alone
    #[arg(long, env = "FLUXO_LISTENER_DEAD_LETTER_TOPIC", value_parser = NonEmptyStringValueParser::new())]
    pub listener_dead_letter_topic: Option<String>,
}

/// The protocol of the consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupProtocol {
    /// Members agree among themselves; with the assignor cooperative-sticky.
    Classic,
    /// The broker decides (KIP-848).
    Consumer,
}

impl process::Settings for Settings {
    fn run(&self) -> &RunSettings {
        &self.run
    }

    fn check(&self) -> anyhow::Result<()> {
        self.kafka.connection()?;
        ensure!(
            self.listener.listener_dead_letter_topic.as_ref() != Some(&self.kafka.kafka_topic),
            "FLUXO_LISTENER_DEAD_LETTER_TOPIC must not be FLUXO_KAFKA_TOPIC: what was refused would come back"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use fluxo_core::kit::process::Settings as _;

    #[test]
    fn what_was_refused_cannot_come_back() {
        let settings = |dead_letters: &str| {
            let flags = ["listener", "--kafka-bootstrap-servers=b:9092", "--database-url=mysql://u@h/d"];
            super::Settings::try_parse_from(flags.into_iter().chain([dead_letters]))
        };
        let check = |dead_letters| settings(dead_letters).unwrap().check();
        assert!(check("--listener-dead-letter-topic=transactions.dlq").is_ok());
        assert!(check("--listener-dead-letter-topic=transactions").is_err());
        assert!(settings("--listener-dead-letter-topic=").is_err());
    }

    #[test]
    fn the_generated_table_of_settings_is_the_one_that_was_kept() {
        let command = super::Settings::command();
        command.clone().debug_assert();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/SETTINGS.md");
        fluxo_golden::check(file, &fluxo_golden::table::settings("listener", &command));
    }
}
