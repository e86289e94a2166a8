//! The operator's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    fluxo_operator::command::main()
}
