//! What can be asked for.
#![allow(clippy::doc_markdown, reason = "the comments of commands are their help")]

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{child, measure, part};

/// Measures Fluxo against its floors, on the servers of FLUXO_TEST_KAFKA and FLUXO_TEST_MYSQL. Prints Markdown
#[derive(Parser)]
struct Command {
    /// What to measure; without it, everything
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// POSTs from 64 connections that never wait, against answers that need no Kafka
    Api(Api),
    /// Records from Kafka to MySQL, against LOAD DATA of the same rows
    Sink(Sink),
    /// How soon the api says no at three times the load that it admits, against a router that has nothing to do
    Overload(Overload),
    /// From a POST to a row that can be read
    EndToEnd(EndToEnd),
    /// Memory under load, over time
    Soak(Soak),
    /// The operator at rest, after a restart, and after outages of the API server: that of FLUXO_TEST_KUBERNETES, which
    /// nothing else may use meanwhile. Not among everything: `make bench-operator` runs it
    Operator(Operator),
    /// A service, in a process of its own: it ends with its standard input
    #[command(hide = true)]
    Serve(Box<Service>),
}

#[derive(Args)]
struct Service {
    #[command(subcommand)]
    service: child::Service,
}

#[derive(Args)]
pub(crate) struct Api {
    /// How long each of three rounds takes, in seconds
    #[arg(long, default_value_t = 6)]
    pub(crate) seconds: u64,
}

#[derive(Args)]
pub(crate) struct Sink {
    /// How many records
    #[arg(long, default_value_t = 600_000)]
    pub(crate) rows: u64,
}

#[derive(Args)]
pub(crate) struct Overload {
    /// Requests a second that are admitted; three times as many are sent, whether or not earlier ones are answered
    #[arg(long, default_value_t = 2_000)]
    pub(crate) limit: u64,
    /// How long each of three rounds takes, in seconds
    #[arg(long, default_value_t = 6)]
    pub(crate) seconds: u64,
}

#[derive(Args)]
pub(crate) struct EndToEnd {
    /// Transactions a second, whether or not earlier ones are answered
    #[arg(long, default_value_t = 2_000)]
    pub(crate) rate: u64,
    /// How long, in seconds
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
}

#[derive(Args)]
pub(crate) struct Soak {
    /// Transactions a second
    #[arg(long, default_value_t = 2_000)]
    pub(crate) rate: u64,
    /// How long
    #[arg(long, default_value_t = 10)]
    pub(crate) minutes: u64,
}

#[derive(Args)]
pub(crate) struct Operator {
    /// How many pipelines there are, one measurement after another, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1,1000")]
    pub(crate) pipelines: Vec<u32>,
    /// How long they are watched at rest, in seconds
    #[arg(long, default_value_t = 600)]
    pub(crate) rest: u64,
    /// How often the API server goes away
    #[arg(long, default_value_t = 100)]
    pub(crate) outages: u32,
    /// The operator's program. Default: `operator` beside this one
    #[arg(long)]
    pub(crate) program: Option<PathBuf>,
}

impl Soak {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_mins(self.minutes)
    }
}

pub(crate) async fn run() -> anyhow::Result<()> {
    let part = match Command::parse().part {
        Some(Part::Serve(service)) => return service.service.serve().await,
        part => part,
    };
    println!("{}\n", measure::machine());
    if let Some(Part::Operator(options)) = &part {
        return part::operator::measure(options).await;
    }
    println!("{}\n", crate::server::versions().await?);
    match part {
        Some(Part::Api(options)) => part::api::measure(&options).await,
        Some(Part::Sink(options)) => part::sink::measure(&options).await,
        Some(Part::Overload(options)) => part::overload::measure(&options).await,
        Some(Part::EndToEnd(options)) => part::end_to_end::measure(&options).await,
        Some(Part::Soak(options)) => part::soak::measure(&options).await,
        Some(Part::Operator(_) | Part::Serve(_)) => unreachable!("it was run"),
        None => {
            part::api::measure(&Api { seconds: 6 }).await?;
            part::overload::measure(&Overload { limit: 2_000, seconds: 6 }).await?;
            part::sink::measure(&Sink { rows: 600_000 }).await?;
            part::end_to_end::measure(&EndToEnd { rate: 2_000, seconds: 30 }).await?;
            part::soak::measure(&Soak { rate: 2_000, minutes: 2 }).await
        }
    }
}
