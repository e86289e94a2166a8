//! The program `operator`: `run` and `crd`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use fluxo_core::{
    kit::process,
    settings::{self, RunSettings},
};

use crate::{crd, run, settings::Settings as RunsWith};

/// Keeps what each TransactionPipeline describes true
#[derive(Debug, Parser)]
#[command(name = "operator", version)]
#[allow(clippy::doc_markdown, reason = "the comments of settings are their help")]
pub struct Settings {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown, reason = "the comments of settings are their help")]
enum Command {
    /// Keeps pipelines true, until it is told to end
    Run(Box<RunsWith>),
    /// Prints the CustomResourceDefinition of TransactionPipelines, for `kubectl apply --server-side -f -`
    Crd,
}

/// The command line of `operator run`, and of nothing else.
#[derive(Debug, Parser)]
struct Running {
    #[command(subcommand)]
    command: Only,
}

#[derive(Debug, Subcommand)]
enum Only {
    Run(Box<RunsWith>),
}

impl process::Settings for Running {
    /// It waits for the API server and Kafka nearly all of the time, and each further one takes memory. Kafka is asked on
    /// threads of their own, besides.
    const WORKERS: Option<usize> = Some(1);

    fn run(&self) -> &RunSettings {
        let Only::Run(settings) = &self.command;
        &settings.run
    }
}

/// Runs the program.
///
/// Its exit codes are 0 when it did what it was asked, 64 for bad settings, 1 for everything else.
pub fn main() -> ExitCode {
    match settings::parse::<Settings>() {
        Ok(Settings { command: Command::Crd }) => match io::stdout().write_all(crd::yaml().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Settings { command: Command::Run(_) }) => process::main::<Running>(
            "operator",
            async |Running { command: Only::Run(settings) }, shutdown| run::run(*settings, shutdown).await,
        ),
        Err(code) => code,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_generated_table_of_settings_is_the_one_that_was_kept() {
        let command = super::Settings::command();
        command.clone().debug_assert();
        let run = command.find_subcommand("run").expect("there is one");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/SETTINGS.md");
        fluxo_golden::check(file, &fluxo_golden::table::settings("operator run", run));
    }
}
