//! A campaign of crashes. In each round clients post transactions and keep what they are told, while what a seed names
//! happens to the services, Kafka and MySQL; then topic and tables are read and compared with what was told.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod cluster;
mod fault;
mod history;
mod load;
mod report;
mod round;
mod servers;
mod service;
mod tables;
mod topic;
mod verdict;

use std::path::PathBuf;

use clap::Parser as _;

/// Crashes services, brokers and the database under load, and looks whether anything was lost, doubled, reordered,
/// made up, miscounted or told wrongly
#[derive(clap::Parser)]
struct Arguments {
    /// How many rounds
    #[arg(long, default_value_t = 12)]
    rounds: u64,
    /// The seed of the first round; each further one has the next. A round that failed is run again by its own
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The fewest transactions of a round
    #[arg(long, default_value_t = 5_000)]
    transactions: u64,
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
    /// A file for the table of what was done and found, as Markdown
    #[arg(long)]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut report = report::Report::new(&arguments);
    let servers = servers::Servers::start(arguments.kafka_port, arguments.mysql_port).await?;
    let played = play(&arguments, &servers, &mut report).await;
    // A failure leaves them as they are, to be looked at.
    if played.is_ok() {
        servers.wipe().await?;
    }
    let table = report.table();
    println!("\n{table}");
    if let Some(path) = &arguments.report {
        std::fs::write(path, table)?;
    }
    played
}

async fn play(
    arguments: &Arguments,
    servers: &servers::Servers,
    report: &mut report::Report,
) -> anyhow::Result<()> {
    let cluster = cluster::Cluster::start(arguments, servers).await?;
    let mut rounds = round::Rounds::new(&cluster, arguments.transactions).await?;
    for seed in (arguments.seed..).take(usize::try_from(arguments.rounds)?) {
        let played = rounds.play(seed).await?;
        println!("{}", played.line());
        let failed = played.failed();
        report.add(played);
        anyhow::ensure!(
            !failed,
            "round {seed} failed: `make crash ROUNDS=1 SEED={seed}` plays it again; logs are in {}, topic and tables \
             are left as they are",
            arguments.logs.display()
        );
    }
    rounds.end().await
}
