//! The settings of the api.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};
use fluxo_core::{
    kit::process,
    settings::{DatabaseSettings, KafkaSettings, RunSettings, duration},
};

use crate::api;

/// All settings of the api.
#[derive(Clone, Debug, Parser)]
#[command(name = "api", version, about = "The api of Fluxo: HTTP to Kafka, and reads from the database")]
#[command(after_help = crate::tools::HELP)]
pub struct Settings {
    #[command(flatten)]
    pub run: RunSettings,
    #[command(flatten)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    pub api: ApiSettings,
}

/// What only the api has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Api")]
pub struct ApiSettings {
    /// Address of the port that serves clients
    #[arg(long, env = "FLUXO_API_LISTEN", default_value = "0.0.0.0:8080")]
    pub api_listen: SocketAddr,
    /// Who may call: those with a key of the key file, or everybody
    #[arg(long, env = "FLUXO_API_AUTH", default_value = "keys")]
    pub api_auth: AuthMode,
    /// JSON file of clients and the hashes of their keys; read again when it changes. Needed unless
    /// `FLUXO_API_AUTH` is none
    #[arg(long, env = "FLUXO_API_KEYS_FILE")]
    pub api_keys_file: Option<PathBuf>,
    /// The most requests a second of one client, on average and at once; 0 is no limit
    #[arg(long, env = "FLUXO_API_RATE_LIMIT", default_value_t = 0)]
    pub api_rate_limit: u32,
    /// The largest body of a request, in bytes: 4096 to 67108864 (64 MiB)
    #[arg(long, env = "FLUXO_API_MAX_BODY", default_value_t = 2 << 20, value_parser = clap::value_parser!(u32).range(4096..=64 << 20))]
    pub api_max_body: u32,
    /// The most connections; further ones wait to be accepted. 1 to 65536
    #[arg(long, env = "FLUXO_API_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub api_max_connections: u32,
    /// The most requests at once; further ones are answered 429. 1 to 65536
    #[arg(long, env = "FLUXO_API_MAX_REQUESTS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub api_max_requests: u32,
    /// How long a connection may send nothing, take to send the headers of a request, or take nothing of an answer. Keep
    /// it above the idle timeout of the proxy in front (Traefik: 90s), which would otherwise send into a connection
    /// just closed
    #[arg(long, env = "FLUXO_API_IDLE_TIMEOUT", default_value = "100s", value_parser = duration)]
    pub api_idle_timeout: Duration,
    /// How long a request may take to send its body
    #[arg(long, env = "FLUXO_API_BODY_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub api_body_timeout: Duration,
    /// How long Kafka is given to acknowledge a record before its request is answered 503, or 504 when nobody can
    /// know whether it was written. 500ms to 5m
    #[arg(long, env = "FLUXO_API_DELIVERY_TIMEOUT", default_value = "30s", value_parser = delivery_timeout)]
    pub api_delivery_timeout: Duration,
    /// The most records that wait for Kafka's acknowledgement; further ones are answered 429. 1000 to 1000000
    #[arg(long, env = "FLUXO_API_MAX_IN_FLIGHT_RECORDS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub api_max_in_flight_records: u32,
    /// The most bytes of records that wait for Kafka's acknowledgement; further ones are answered 429. 1048576 (1 MiB)
    /// to 1073741824 (1 GiB)
    #[arg(long, env = "FLUXO_API_MAX_IN_FLIGHT_BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1 << 20..=1 << 30))]
    pub api_max_in_flight_bytes: u32,
    /// How many idempotency keys this replica remembers by itself, the latest ones. 1000 to 10000000
    #[arg(long, env = "FLUXO_API_IDEMPOTENCY_KEYS", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub api_idempotency_keys: u32,
    /// How long this replica remembers an idempotency key by itself; the database remembers for ever
    #[arg(long, env = "FLUXO_API_IDEMPOTENCY_TIME", default_value = "10m", value_parser = duration)]
    pub api_idempotency_time: Duration,
    /// How long the database may take to say whether an idempotency key was used before. After that the record is
    /// sent, and the listener finds out
    #[arg(long, env = "FLUXO_API_LOOKUP_TIMEOUT", default_value = "200ms", value_parser = duration)]
    pub api_lookup_timeout: Duration,
    /// How long a read of the database may take before it is answered 503
    #[arg(long, env = "FLUXO_API_DATABASE_TIMEOUT", default_value = "3s", value_parser = duration)]
    pub api_database_timeout: Duration,
    /// The most streams at once; further ones are answered 503. 1 to 65536
    #[arg(long, env = "FLUXO_API_MAX_STREAMS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub api_max_streams: u32,
    /// The most streams at once that are behind and catch up, each with a connection to Kafka of its own; further ones
    /// are answered 503. 1 to 1024
    #[arg(long, env = "FLUXO_API_MAX_CATCH_UPS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub api_max_catch_ups: u32,
    /// How often a stream without events sends a comment, and looks whether its key is still valid. Keep it below the
    /// idle timeout of the proxy in front
    #[arg(long, env = "FLUXO_API_STREAM_KEEP_ALIVE", default_value = "15s", value_parser = duration)]
    pub api_stream_keep_alive: Duration,
    /// The longest wait that a client may ask for with Prefer: wait
    #[arg(long, env = "FLUXO_API_MAX_WAIT", default_value = "30s", value_parser = duration)]
    pub api_max_wait: Duration,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Those with a key.
    Keys,
    /// Everybody; all are the client `anonymous`.
    None,
}

impl process::Settings for Settings {
    fn run(&self) -> &RunSettings {
        &self.run
    }

    fn check(&self) -> anyhow::Result<()> {
        self.kafka.connection()?;
        api::keys(&self.api)?;
        Ok(())
    }
}

fn delivery_timeout(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(500)..=Duration::from_mins(5);
    duration(text).and_then(|time| range.contains(&time).then_some(time).ok_or("must be 500ms to 5m".into()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_generated_table_of_settings_is_the_one_that_was_kept() {
        let command = Settings::command();
        command.clone().debug_assert();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/SETTINGS.md");
        fluxo_golden::check(file, &fluxo_golden::table::settings("api", &command));
    }

    #[test]
    fn a_value_beyond_its_bound_is_refused() {
        let needed = ["api", "--kafka-bootstrap-servers=b:1", "--database-url=mysql://h/d"];
        let parse = |flag: &'static str| Settings::try_parse_from(needed.into_iter().chain([flag]));
        assert!(parse("--api-max-body=4096").is_ok());
        for flag in [
            "--api-max-body=0",
            "--api-max-in-flight-records=999",
            "--api-delivery-timeout=1ms",
            "--api-delivery-timeout=1h",
            "--api-idle-timeout=10",
            "--api-auth=maybe",
        ] {
            assert!(parse(flag).is_err(), "{flag}");
        }
    }
}
