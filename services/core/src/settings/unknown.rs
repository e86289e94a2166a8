//! Finds variables that look like a setting and are none: a misspelt one must not be ignored in silence.

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Arg, Command};

/// All settings of a command and its subcommands.
pub(super) fn settings(command: &Command) -> Box<dyn Iterator<Item = &Arg> + '_> {
    Box::new(command.get_arguments().chain(command.get_subcommands().flat_map(settings)))
}

/// What is wrong with each variable that has the prefix of one of the command's settings and is none of them.
pub(super) fn variables(command: &Command, environment: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let known: BTreeSet<String> = settings(command)
        .filter_map(|setting| Some(setting.get_env()?.to_string_lossy().into_owned()))
        .filter(|name| name.starts_with("FLUXO_"))
        .collect();
    let prefixes: BTreeSet<&str> = known.iter().map(|name| prefix(name)).collect();
    let mut unknown: Vec<_> = environment
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("FLUXO_") && prefixes.contains(prefix(name)))
        .filter(|name| !known.contains(name) && !is_service_link(name))
        .map(|name| format!("{name} is not a setting; those of its kind are: {}", of_kind(&known, &name)))
        .collect();
    unknown.sort();
    unknown
}

/// `FLUXO_KAFKA` of `FLUXO_KAFKA_TOPIC`: settings of other binaries, which have other prefixes, are let be.
fn prefix(name: &str) -> &str {
    let end = name.match_indices('_').nth(1).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

fn of_kind(known: &BTreeSet<String>, name: &str) -> String {
    let of_kind: Vec<_> =
        known.iter().filter(|other| prefix(other) == prefix(name)).map(String::as_str).collect();
    of_kind.join(", ")
}

/// Kubernetes sets such variables in every pod for a Service that is named, say, `fluxo-api`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}
