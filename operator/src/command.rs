//! The program `operator`: `crd`, and more to come.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use fluxo_core::settings;

use crate::crd;

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
    /// Prints the CustomResourceDefinition of TransactionPipelines, for `kubectl apply --server-side -f -`
    Crd,
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
        Err(code) => code,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_is_well_formed() {
        super::Settings::command().debug_assert();
    }
}
