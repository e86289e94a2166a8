//! How a Fluxo process begins and ends.

use std::process::ExitCode;

use clap::Parser;

use super::{shutdown::Shutdown, telemetry};
use crate::settings::{self, RunSettings};

/// The code of bad settings (`EX_USAGE` of sysexits.h): trying again without a change is of no use.
pub const BAD_SETTINGS: u8 = 64;
/// The code of a database that cannot be reached, or does not let the user in (`EX_UNAVAILABLE` of sysexits.h).
pub const UNREACHABLE: u8 = 69;
/// The code of a database that is another's (`EX_NOPERM` of sysexits.h): a person must decide.
pub const ALREADY_CLAIMED: u8 = 77;

/// The code of a check that found data which differs from what it ought to be (`EX_DATAERR` of sysexits.h).
pub const DIFFERING: u8 = 65;

/// An end with a code of its own.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Ended {
    /// The code.
    pub code: u8,
    /// Why it ended.
    pub reason: String,
}

/// Settings of a service: what it runs with, and what its process runs in.
pub trait Settings: Parser {
    /// How many threads work on its tasks; `None` for one for each CPU.
    const WORKERS: Option<usize> = None;

    /// The part that every process has.
    fn run(&self) -> &RunSettings;

    /// Looks whether the settings fit together.
    ///
    /// # Errors
    /// Which do not, by their variables, and what would.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Runs a service: parses its settings, starts logs and traces, and runs `serve` until it ends or is told to.
///
/// # Errors
/// Exit code 64 for bad settings, that of [`Ended`], 1 for any other failure, which is logged with its causes.
pub fn main<S: Settings>(
    service: &'static str,
    serve: impl AsyncFnOnce(S, Shutdown) -> anyhow::Result<()>,
) -> ExitCode {
    let settings = match settings::parse::<S>() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Err(error) = settings.check() {
        failed(&error);
        return ExitCode::from(BAD_SETTINGS);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = S::WORKERS {
        runtime.worker_threads(workers);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init(service, &settings.run().log) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(&error),
        };
        let ended = match Shutdown::on_signals(settings.run().shutdown_grace) {
            Ok(shutdown) => {
                let aborted = shutdown.clone();
                tokio::select! {
                    ended = serve(settings, shutdown) => ended,
                    () = aborted.aborted() => Err(anyhow::anyhow!("ended before everything was done")),
                }
            }
            Err(error) => Err(anyhow::Error::new(error).context("cannot listen for signals")),
        };
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "{service} ends");
        } else {
            tracing::info!("{service} ended");
        }
        telemetry.flush().await;
        ended.map_or_else(|error| code(&error), |()| ExitCode::SUCCESS)
    })
}

fn code(error: &anyhow::Error) -> ExitCode {
    error.downcast_ref::<Ended>().map_or(ExitCode::FAILURE, |ended| ExitCode::from(ended.code))
}

#[allow(clippy::print_stderr, reason = "there are no logs yet")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
