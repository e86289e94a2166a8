//! Tables of what a program can be set to and what it measures, for people, made from the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use clap::{Arg, Command};

/// The labels that a metric may have: each has few values. An id, an account or a client has one for each of its own.
const LABELS: [&str; 8] = ["kind", "method", "namespace", "outcome", "pipeline", "reason", "route", "status"];

/// The settings of a program, in Markdown: one table a group, with the variable, the default and the meaning of each.
#[must_use]
pub fn settings(program: &str, command: &Command) -> String {
    let mut groups: Vec<(&str, Vec<&Arg>)> = Vec::new();
    for setting in command.get_arguments().filter(|setting| setting.get_env().is_some()) {
        let heading = setting.get_help_heading().unwrap_or("Itself");
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, settings)) => settings.push(setting),
            None => groups.push((heading, vec![setting])),
        }
    }
    let mut text = header(&format!("Settings of `{program}`"));
    text += "Each variable has a flag: `FLUXO_LOG` is `--log`. A flag wins.\n";
    for (heading, settings) in groups {
        write_line(
            &mut text,
            format_args!("\n## {heading}\n\n| variable | default | what it is |\n|---|---|---|"),
        );
        for setting in settings {
            let variable = setting.get_env().unwrap_or_default().to_string_lossy();
            let default = setting.get_default_values().first().map(|value| code(&value.to_string_lossy()));
            let default = default.unwrap_or(if setting.is_required_set() { "needed" } else { "none" }.into());
            let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
            let values: Vec<_> =
                setting.get_possible_values().iter().map(|value| code(value.get_name())).collect();
            let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
            write_line(&mut text, format_args!("| `{variable}` | {default} | {}{values} |", cell(&help)));
        }
    }
    text
}

/// The metrics of a program, in Markdown, from what it answers to Prometheus: the name, type, unit, labels and meaning
/// of each, with the values of each label that were seen: all of them, if there is more than one.
///
/// # Panics
/// When a metric has a label that is not known to have few values, or no help.
#[must_use]
pub fn metrics(program: &str, exposition: &str) -> String {
    let mut text = header(&format!("Metrics of `{program}`"));
    text += "| metric | type | unit | labels | what it measures |\n|---|---|---|---|---|\n";
    let about = |what: &str| -> BTreeMap<&str, &str> {
        let lines = exposition.lines().filter_map(|line| line.strip_prefix("# ")?.strip_prefix(what));
        lines.filter_map(|line| line.trim_start().split_once(' ')).collect()
    };
    let (helps, units) = (about("HELP "), about("UNIT "));
    for (name, kind) in about("TYPE ") {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let unit = units.get(name).copied().unwrap_or("");
        let help = helps.get(name).unwrap_or_else(|| unreachable!("{name} has no help"));
        let labels = labels(exposition, name).into_iter().map(|(label, values)| {
            assert!(LABELS.contains(&label), "{name} has a label {label}: has it few values?");
            let sign = if values.len() > 1 { ":" } else { ", such as" };
            let values: Vec<_> = values.into_iter().map(code).collect();
            format!("`{label}`{sign} {}", values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        write_line(
            &mut text,
            format_args!("| `{name}{suffix}` | {kind} | {unit} | {labels} | {} |", cell(help)),
        );
    }
    text
}

/// The labels of a metric's samples, and their values.
fn labels<'a>(exposition: &'a str, name: &str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut labels: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for sample in exposition.lines().filter(|line| line.starts_with(name)) {
        let Some((of, rest)) = sample.split_once('{') else { continue };
        let of_this =
            ["", "_total", "_sum", "_count", "_bucket"].iter().any(|suffix| of[name.len()..] == **suffix);
        let pairs = rest.split_once('}').map_or("", |(pairs, _)| pairs);
        for (label, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
            if of_this && label != "le" {
                labels.entry(label).or_default().insert(value.trim_matches('"'));
            }
        }
    }
    labels
}

fn header(title: &str) -> String {
    format!("<!-- Made by `make generate` from the code: change it there. -->\n# {title}\n\n")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Text as a cell has it: on one line, ended by no full stop.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    text.trim_end_matches('.').to_owned()
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}
