//! What `api` does besides serving: `api openapi` and `api hash-key`. Both need no settings.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    process::ExitCode,
};

use fluxo_core::kit::process::BAD_SETTINGS;

use crate::{http, keys};

/// What `--help` says about them.
pub(crate) const HELP: &str = "Commands, which need no settings:
  api openapi   Prints the OpenAPI document
  api hash-key  Reads a key from standard input and prints the hash that the key file holds";

/// Runs the command that the arguments name; `None` when they name none, and the api is to serve.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    let output = match arguments.next()?.to_str()? {
        "openapi" => Ok(http::docs::json()),
        "hash-key" => hash_key(io::stdin()),
        _ => return None,
    };
    let written = match (output, arguments.next()) {
        (Ok(output), None) => io::stdout().write_all(output.as_bytes()),
        (Ok(_), Some(_)) => Err(io::Error::other("this command takes no arguments")),
        (Err(error), _) => Err(error),
    };
    Some(written.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS))
}

/// The hash of a key, in the form of the key file. A line break at the end is not part of the key.
fn hash_key(mut input: impl Read) -> io::Result<String> {
    let mut key = String::new();
    input.read_to_string(&mut key)?;
    let key = key.trim_end_matches(['\r', '\n']);
    if keys::is_key(key) {
        Ok(format!("{}\n", hex::encode(keys::hash(key))))
    } else {
        Err(io::Error::other("a key is 16 to 256 visible ASCII characters"))
    }
}

#[allow(clippy::print_stderr, reason = "a command has no logs")]
fn failed(error: &io::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(BAD_SETTINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_is_its_sha_256_without_the_line_break() {
        assert_eq!(
            hash_key("correct horse battery staple\n".replace(' ', "-").as_bytes()).unwrap(),
            hash_key("correct-horse-battery-staple".as_bytes()).unwrap(),
        );
        assert!(hash_key("short\n".as_bytes()).is_err());
    }

    #[test]
    fn no_command_means_to_serve() {
        assert!(run([]).is_none());
        assert!(run(["--help".into()]).is_none());
    }
}
