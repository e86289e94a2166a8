//! Keeps the schema of Fluxo: `migrations up`, `down` and `status`.

use std::process::ExitCode;

fn main() -> ExitCode {
    fluxo_migrations::command::main()
}
