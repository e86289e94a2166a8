//! The settings of the demo, and what it makes of them for the services.
#![allow(clippy::doc_markdown, reason = "the comments of settings are their help")]

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use fluxo_core::{
    kit::process,
    settings::{DatabaseSettings, KafkaSettings, RunSettings},
};
use fluxo_listener::settings::GroupProtocol;

/// Logs matter here only when something is wrong. That a start takes a moment is nothing wrong.
const LOG: &str = "warn,fluxo_core=info,fluxo_core::kit::health=error";

/// The most bytes of a body: what is on its way to Kafka is bounded until it is recorded, and the records of one call,
/// each some 340 bytes longer there than in the call, must fit in together.
const BODY_MAX: u32 = 1 << 20;

/// Both services of Fluxo in one process, with a Kafka in memory and a SQLite file: nothing to install
#[derive(Clone, Debug, Parser)]
#[command(name = "demo", version)]
#[command(mut_arg("log", |log| log.default_value(LOG)))]
#[command(mut_arg("log_format", |format| format.default_value("pretty")))]
#[command(mut_arg("admin_listen", |address| address.default_value("127.0.0.1:0").hide(true)))]
pub struct Settings {
    /// Address that clients call
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// SQLite file that keeps the transactions; made when it is not there
    #[arg(long, value_name = "PATH", default_value = "fluxo-demo.db")]
    pub data: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub run: RunSettings,
}

impl process::Settings for Settings {
    fn run(&self) -> &RunSettings {
        &self.run
    }
}

impl Settings {
    /// The api's settings: no keys, everything else as it is by default.
    pub(crate) fn api(
        &self,
        kafka: KafkaSettings,
        database: DatabaseSettings,
    ) -> anyhow::Result<fluxo_api::Settings> {
        let defaults: fluxo_api::Settings = defaults()?;
        let mut api = defaults.api;
        api.api_listen = self.listen;
        api.api_max_body = BODY_MAX;
        api.api_auth = fluxo_api::AuthMode::None;
        Ok(fluxo_api::Settings { run: self.run.clone(), kafka, database, api })
    }

    /// The listener's settings. SQLite has one writer at a time.
    pub(crate) fn listener(
        &self,
        kafka: KafkaSettings,
        database: DatabaseSettings,
    ) -> anyhow::Result<fluxo_listener::settings::Settings> {
        let mut settings: fluxo_listener::settings::Settings = defaults()?;
        settings.run = self.run.clone();
        settings.run.admin_listen.set_port(0);
        settings.kafka = kafka;
        settings.database = database;
        settings.listener.listener_writers = 1;
        // The mock cluster lets a member of the classic protocol wait for three seconds.
        settings.listener.listener_group_protocol = GroupProtocol::Consumer;
        Ok(settings)
    }
}

/// The settings of a service with all their defaults: the environment is not the demo's to pass on.
fn defaults<S: Parser>() -> anyhow::Result<S> {
    let needed = ["service", "--kafka-bootstrap-servers=", "--database-url="];
    let command = S::command().mut_args(|argument| argument.env(None::<&str>));
    let parsed = command.try_get_matches_from(needed).and_then(|matches| S::from_arg_matches(&matches));
    parsed.context("a setting of a service has no default")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use fluxo_core::settings::LogFormat;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Settings::command().debug_assert();
    }

    #[test]
    fn nothing_is_reached_from_other_machines_unless_somebody_says_so() {
        let settings = Settings::parse_from(["demo"]);
        let kafka = KafkaSettings::plaintext("b:9092", "transactions");
        let database = DatabaseSettings::of_url("sqlite:x");
        let api = settings.api(kafka.clone(), database.clone()).unwrap();
        let listener = settings.listener(kafka, database).unwrap();
        assert_eq!(settings.run.log.log_format, LogFormat::Pretty);
        for address in [api.api.api_listen, api.run.admin_listen, listener.run.admin_listen] {
            assert!(address.ip().is_loopback(), "{address}");
        }
    }
}
