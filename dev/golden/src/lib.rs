//! Golden files: what the code generates must be what the repository holds.
//!
//! `make generate` runs the tests with `FLUXO_GENERATE=1`, which writes the files instead of comparing them. Those
//! tests have `generated` in their names, so that it can run them alone.

pub mod table;

use std::path::Path;

/// Compares a file with what it should hold, or writes it when `FLUXO_GENERATE` is `1`.
///
/// # Panics
/// When the file is missing or differs, with the first line that does.
#[allow(clippy::panic, reason = "this is an assertion")]
pub fn check(file: impl AsRef<Path>, expected: &str) {
    let file = file.as_ref();
    if std::env::var_os("FLUXO_GENERATE").is_some_and(|value| value == "1") {
        std::fs::write(file, expected)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        return;
    }
    let found = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    if found != expected {
        let line =
            found.lines().zip(expected.lines()).take_while(|(found, expected)| found == expected).count();
        panic!(
            "{} is not what the code generates; `make generate` renews it. First difference, in line {}:\n  kept      {:?}\n  generated {:?}",
            file.display(),
            line + 1,
            found.lines().nth(line),
            expected.lines().nth(line),
        );
    }
}
