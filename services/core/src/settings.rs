//! Settings: parsed once, from flags and the environment, into typed values.
//!
//! Every setting says its unit, default and bound in its help. A value that is unknown or bad ends the process with
//! code 64 and names its variable. Nothing outside this module reads the environment.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "the comments of settings are their help")]

mod database;
mod kafka;
mod unknown;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{
    Args, Parser, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use secrecy::{ExposeSecret, SecretString};

pub use database::{DatabaseSettings, DatabaseTls};
pub use kafka::{KafkaSettings, SaslMechanism, SecurityProtocol};

use crate::kit::process::BAD_SETTINGS;

/// What every process runs in.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Process")]
pub struct RunSettings {
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type says it")]
    pub log: LogSettings,
    /// Address of the admin port, which serves /livez, /readyz and /metrics
    #[arg(long, env = "FLUXO_ADMIN_LISTEN", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,
    /// How long a shutdown may take after the first signal. Keep it below the pod's
    /// terminationGracePeriodSeconds
    #[arg(long, env = "FLUXO_SHUTDOWN_GRACE", default_value = "20s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

/// Logs and traces.
#[derive(Clone, Debug, Args)]
pub struct LogSettings {
    /// What is logged, such as info or info,fluxo_api=debug
    #[arg(long, env = "FLUXO_LOG", default_value = "info")]
    pub log: String,
    /// The form of logs, on standard error
    #[arg(long, env = "FLUXO_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
    /// Where traces go, by OTLP over gRPC, such as http://collector:4317. Without it there are none
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// The form of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Parses the settings of a process from its flags and environment.
///
/// # Errors
/// The code to exit with: 64 for a value that is unknown or bad, which is printed with the variable it came from;
/// 0 after `--help` and `--version`.
pub fn parse<S: Parser>() -> Result<S, ExitCode> {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let names = std::env::vars_os().map(|(name, _)| name);
    parse_from(std::env::args_os(), names).map_err(|problem| {
        if problem.use_stderr() {
            let _ = problem.print();
            ExitCode::from(BAD_SETTINGS)
        } else {
            let _ = problem.print();
            ExitCode::SUCCESS
        }
    })
}

fn parse_from<S: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = OsString>,
) -> Result<S, clap::Error> {
    let mut command = S::command();
    if let Some(unknown) = unknown::variables(&command, environment).first() {
        return Err(command.error(ErrorKind::UnknownArgument, unknown));
    }
    let parsed = S::try_parse_from(arguments);
    parsed.map_err(|error| match variable(&command, &error) {
        Some(name) => {
            command.error(error.kind(), format!("{}\n\nthe value is that of {name}", reason(&error)))
        }
        None => error,
    })
}

/// The variable of the setting that an error is about.
fn variable(command: &clap::Command, error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let long = flag.split([' ', '=']).next()?.strip_prefix("--")?;
    let setting = unknown::settings(command).find(|setting| setting.get_long() == Some(long))?;
    Some(setting.get_env()?.to_string_lossy().into_owned())
}

/// What an error says, without clap's frame around it.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\nFor more information").next().unwrap_or(text).trim_end().to_owned()
}

/// Parses a duration with its unit, such as `500ms`, `5s` or `1m`.
///
/// # Errors
/// When it is not one.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "must be a number with a unit, such as 500ms, 5s or 1m".into())
}

/// A secret that is set as a value, or as the path of a file that holds it. A line break at the end of the file is
/// not part of it.
///
/// # Errors
/// When the file cannot be read; the error names it.
fn secret(value: Option<&SecretString>, file: Option<&PathBuf>) -> std::io::Result<Option<SecretString>> {
    let Some(file) = file else { return Ok(value.cloned()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let secret = SecretString::from(text.trim_end_matches(['\r', '\n']));
    debug_assert!(secret.expose_secret().len() <= text.len());
    Ok(Some(secret))
}

#[cfg(test)]
mod tests;
