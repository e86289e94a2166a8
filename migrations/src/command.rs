//! The program `migrations`: `up`, `down` and `status`.

use std::{process::ExitCode, time::Duration};

use crate::{
    State, change,
    reach::{causes, reach},
};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use fluxo_core::{
    kit::{
        process::{ALREADY_CLAIMED, BAD_SETTINGS, UNREACHABLE},
        telemetry,
    },
    settings::{self, DatabaseSettings, LogSettings},
};
use fluxo_store::{Error, Store};

/// Keeps the schema of Fluxo.
#[derive(Debug, Parser)]
#[command(name = "migrations", version)]
pub struct Settings {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the schema to that of this release. It is safe to run twice, and twice at once
    Up {
        #[command(flatten)]
        common: Common,
    },
    /// Takes back the last migrations, with every row in their tables
    Down {
        #[command(flatten)]
        common: Common,
        /// How many migrations are taken back
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
        /// Says that the rows may be deleted: there is no way to have them back
        #[arg(long, required = true)]
        delete_data: bool,
    },
    /// Lists the migrations, and whether each is in the database. It changes nothing
    Status {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    log: LogSettings,
    /// How long a database that is away, or another process that changes the schema, is waited for
    #[arg(long, env = "FLUXO_MIGRATIONS_WAIT", default_value = "60s", value_parser = settings::duration)]
    wait: Duration,
}

/// Runs the program.
///
/// Its exit codes are 0 when it did what it was asked, 64 for bad settings, 69 when the database cannot be reached or
/// refuses the user, 77 when it is another pipeline's, 1 for everything else.
pub fn main() -> ExitCode {
    let settings = match settings::parse::<Settings>() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return told(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init("fluxo-migrations", &settings.common().log) {
            Ok(telemetry) => telemetry,
            Err(error) => return told(&error),
        };
        let ended = run(&settings).await;
        if let Err(error) = &ended {
            tracing::error!(error = causes(error.as_ref()), "migrations end");
        }
        telemetry.flush().await;
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => code(&error),
        }
    })
}

#[allow(clippy::print_stderr, reason = "there are no logs yet")]
fn told(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(Error::Settings(_)) => ExitCode::from(BAD_SETTINGS),
        Some(Error::Unreachable(_) | Error::Denied(_) | Error::Misconfigured(_)) => {
            ExitCode::from(UNREACHABLE)
        }
        Some(Error::Claimed { .. }) => ExitCode::from(ALREADY_CLAIMED),
        _ => ExitCode::FAILURE,
    }
}

impl Settings {
    fn common(&self) -> &Common {
        match &self.command {
            Command::Up { common } | Command::Down { common, .. } | Command::Status { common } => common,
        }
    }
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let Common { database, wait, .. } = settings.common();
    let store = Store::open(database).await?;
    reach(&store, database, *wait).await?;
    let connection = store.connection();
    match &settings.command {
        Command::Up { .. } => {
            let up = match &database.database_owner {
                Some(owner) => change::up_for(owner, connection, *wait).await,
                None => change::up(connection, *wait).await,
            };
            up.context("the schema was not brought up to date")?;
            tracing::info!("the schema serves this release");
        }
        Command::Down { steps, .. } => {
            change::down(connection, *steps, *wait).await.context("the schema was not taken back")?;
        }
        Command::Status { .. } => print(&change::status(connection).await?),
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is what was asked for")]
fn print(status: &[(String, State)]) {
    for (name, state) in status {
        let state = match state {
            State::Pending => "pending",
            State::Applied => "applied",
            State::Newer => "applied by a newer release",
        };
        println!("{name}\t{state}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_generated_table_of_settings_is_the_one_that_was_kept() {
        let command = super::Settings::command();
        command.clone().debug_assert();
        let up = command.find_subcommand("up").expect("there is one");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/SETTINGS.md");
        fluxo_golden::check(file, &fluxo_golden::table::settings("migrations", up));
    }
}
