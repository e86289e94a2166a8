//! The api: POSTs that never wait, against the floor of answers that need no Kafka.

use std::time::Duration;

use anyhow::ensure;

use super::{Kind, PARTITIONS, cpu, keys, memory, requests, start_api};
use crate::{
    child::Child,
    command::Api,
    load::{self, Requests, Seen},
    server::Database,
    table::{Table, maybe, median, number},
};

const CONNECTIONS: u64 = 64;
const ROUNDS: usize = 3;
/// A broker that has just started is not yet what it will be.
const WARM_UP: Duration = Duration::from_secs(10);

/// What one round saw.
struct Round {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Of the api and of Kafka.
    cpu: Vec<Option<f64>>,
}

pub(crate) async fn measure(options: &Api) -> anyhow::Result<()> {
    Database::with(async |database| rounds(options, database).await).await
}

async fn rounds(options: &Api, database: &Database) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    let keys = keys()?;
    let api = start_api(&topic.name, database, &keys).await?;
    let (new, retries) = (requests(CONNECTIONS, Kind::New), requests(CONNECTIONS, Kind::Retry));
    let time = Duration::from_secs(options.seconds);
    load::closed(api.address, &new, 202, WARM_UP).await?;
    load::closed(api.address, &retries, 202, WARM_UP / 4).await?;

    let (mut floor, mut real) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(round(&api, &retries, time).await?);
        real.push(round(&api, &new, time).await?);
    }
    let columns = ["", "requests/s", "p50 ms", "p99 ms", "CPU-µs in the api", "in Kafka"];
    let table = Table::begin("POST, 64 connections that never wait (medians of three rounds)", &columns);
    let floor = print(&table, "floor: a retry, answered 202 without Kafka", &floor);
    let reached = print(&table, "202 when all in-sync replicas have it", &real);
    println!(
        "\nThat is {:.0} % of the floor. Memory of the api, MiB (most): {}.",
        reached / floor * 100.0,
        memory(&api)?
    );

    // Latency means something only below saturation.
    let rate = (reached / 2.0) as u64;
    let seen = load::open(api.address, &new, 202, rate, time).await?;
    ensure!(seen.failed == 0, "{} requests failed", seen.failed);
    let (p50, p99) = (number(seen.percentile(50.0)), number(seen.percentile(99.0)));
    println!("At half of that rate, {} a second: p50 {p50} ms, p99 {p99} ms.", number(seen.rate()));
    api.end().await
}

async fn round(api: &Child, requests: &[Requests], time: Duration) -> anyhow::Result<Round> {
    let before = cpu(&[api]);
    let seen: Seen = load::closed(api.address, requests, 202, time).await?;
    ensure!(seen.failed == 0, "{} requests failed", seen.failed);
    let cpu = cpu(&[api]).per(&before, seen.answered);
    Ok(Round { rate: seen.rate(), p50: seen.percentile(50.0), p99: seen.percentile(99.0), cpu })
}

/// Prints the medians of rounds; that of the rate.
fn print(table: &Table, name: &str, rounds: &[Round]) -> f64 {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let cpu = |at: usize| {
        let known: Vec<_> = rounds.iter().filter_map(|round| *round.cpu.get(at)?).collect();
        maybe((!known.is_empty()).then(|| median(known)))
    };
    let (rate, p50, p99) = (of(|round| round.rate), of(|round| round.p50), of(|round| round.p99));
    table.row(&[name.into(), number(rate), number(p50), number(p99), cpu(0), cpu(1)]);
    rate
}
