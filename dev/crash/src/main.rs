//! A campaign of crashes. In each round clients post transactions and keep what they are told, while what a seed names
//! happens to the services, Kafka and MySQL; then topic and tables are read and compared with what was told.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod cluster;
mod fault;
mod history;
mod load;
mod report;
mod round;
mod scenario;
mod servers;
mod service;
mod tables;
mod topic;
mod verdict;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser as _;

/// Crashes services, brokers and the database under load, and looks whether anything was lost, doubled, reordered,
/// made up, miscounted or told wrongly
#[derive(clap::Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: scenario::Scenario,
    /// Where the programs api, listener and migrations are
    #[arg(long)]
    programs: PathBuf,
    /// Where the services write their logs
    #[arg(long)]
    logs: PathBuf,
    /// The first of the brokers' ports
    #[arg(long, default_value_t = 19_292)]
    kafka_port: u16,
    /// The port of MySQL
    #[arg(long, default_value_t = 13_406)]
    mysql_port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut report = report::Report::default();
    let servers = servers::Servers::start(arguments.kafka_port, arguments.mysql_port).await?;
    let played = play(&arguments, &servers, &mut report).await;
    // A failure leaves them as they are, to be looked at.
    if played.is_ok() {
        servers.wipe().await?;
    }
    println!("\n{}", report.table());
    played
}

async fn play(
    arguments: &Arguments,
    servers: &servers::Servers,
    report: &mut report::Report,
) -> anyhow::Result<()> {
    let cluster = cluster::Cluster::start(arguments, servers).await?;
    arguments.scenario.play(&cluster, report).await.with_context(|| {
        format!("topic and tables are left as they are; logs are in {}", arguments.logs.display())
    })
}
