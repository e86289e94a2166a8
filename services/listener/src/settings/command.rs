//! What the listener does besides listening: commands of a person.

use clap::{Args, Subcommand, ValueEnum};
use fluxo_core::{Timestamp, quarantine::Reason};

/// What the listener does besides listening.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Go on with another topic, or from other offsets: after a topic was made anew, or records were lost
    Adopt(Adopt),
    /// Look at the records in quarantine, forward them to the dead-letter topic, or try them again
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Read a range of the topic again: rows that are missing are written, those that differ are told
    Replay(Replay),
}

/// From which topic and offsets to go on.
#[derive(Clone, Debug, Args)]
pub struct Adopt {
    /// The id of the topic, as the listener's message or Kafka's tools print it. It must be the one that is there
    #[arg(long)]
    pub topic_id: String,
    /// Where each partition goes on: `earliest` and `latest` are the ends of the log, `stored` keeps the stored offset
    /// (moved into the log if it lies outside), and 0:17,1:4 names the offset of every partition
    #[arg(long)]
    pub from: String,
}

/// What is done with records in quarantine.
#[derive(Clone, Debug, Subcommand)]
pub enum Quarantine {
    /// List them, newest first
    List(List),
    /// Show all that there is of one: key, value, headers
    Show(Show),
    /// Put them on the source topic again, as new records, where that can help
    Retry(Retry),
    /// Forward them to the dead-letter topic now
    Forward(Forward),
}

/// Which records are listed.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// Only for this reason: not_ours, key_mismatch, overflow or conflict
    #[arg(long, value_parser = reason)]
    pub reason: Option<Reason>,
    /// Only of a topic of this name
    #[arg(long)]
    pub topic: Option<String>,
    /// Only those that are in quarantine since then or later, as 2026-11-21T15:00:00Z
    #[arg(long, value_parser = moment)]
    pub from: Option<Timestamp>,
    /// Only those that are in quarantine since before
    #[arg(long, value_parser = moment)]
    pub to: Option<Timestamp>,
    /// Only those that the dead-letter topic has yet to get
    #[arg(long)]
    pub waiting: bool,
    /// The most that are listed. 1 to 10000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// The form of the list
    #[arg(long, default_value = "table")]
    pub output: Output,
}

/// Which record is shown.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// The record, as transactions/0/17: the topic or its id, the partition, the offset
    pub place: String,
    /// The form
    #[arg(long, default_value = "table")]
    pub output: Output,
}

/// Which records are tried again.
#[derive(Clone, Debug, Args)]
pub struct Retry {
    /// The records, each as transactions/0/17: the topic or its id, the partition, the offset
    #[arg(required = true)]
    pub places: Vec<String>,
}

/// Which records are forwarded.
#[derive(Clone, Debug, Args)]
pub struct Forward {
    /// The records, each as transactions/0/17: the topic or its id, the partition, the offset. Without any, all that
    /// were not forwarded yet
    pub places: Vec<String>,
    /// Also those that were forwarded before
    #[arg(long, requires = "places")]
    pub again: bool,
}

/// Which range of the topic is read again.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// The first record: its offset, for one partition, or a time as 2026-11-21T15:00:00Z, for each
    #[arg(long, value_parser = bound)]
    pub from: Bound,
    /// The end, which is not read any more: an offset or a time. Default: as far as the listeners are. What they have
    /// not read yet is never read
    #[arg(long, value_parser = bound)]
    pub to: Option<Bound>,
    /// Only these partitions, separated by commas. Default: all
    #[arg(long, value_delimiter = ',')]
    pub partition: Vec<i32>,
    /// Write nothing, only tell
    #[arg(long)]
    pub dry_run: bool,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// An offset.
    Offset(i64),
    /// The first record whose timestamp is then or later.
    Time(Timestamp),
}

/// The form of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::named(text)
        .ok_or_else(|| format!("must be one of {}", Reason::ALL.map(Reason::as_str).join(", ")))
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|_| "must be a time with an offset, as 2026-11-21T15:00:00Z".into())
}

fn bound(text: &str) -> Result<Bound, String> {
    match text.parse() {
        Ok(offset @ 0..) => Ok(Bound::Offset(offset)),
        Ok(_) => Err("an offset is never below zero".into()),
        Err(_) => moment(text).map(Bound::Time).map_err(|error| format!("{error}, or an offset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_offset_or_a_time() {
        assert_eq!(bound("17"), Ok(Bound::Offset(17)));
        let time = Timestamp::parse("2026-11-21T15:00:00Z").unwrap();
        assert_eq!(bound("2026-11-21T12:00:00-03:00"), Ok(Bound::Time(time)));
        for bad in ["", "-1", "yesterday", "2026-11-21"] {
            assert!(bound(bad).is_err(), "{bad}");
        }
    }
}
