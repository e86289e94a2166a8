//! The api at three times the load that it admits: how soon it says no, against a router that has nothing to do.

use std::time::Duration;

use anyhow::ensure;

use super::{Kind, PARTITIONS, cpu, keys, memory, requests, start_api_with};
use crate::{
    child::Child,
    command::Overload,
    load::{self, Requests},
    server::Database,
    table::{Table, maybe, median, number},
};

const CONNECTIONS: u64 = 96;
const ROUNDS: usize = 3;
/// How many times what is admitted is sent.
const TIMES: u64 = 3;

/// What one round saw of the answers that were wanted, and of the others.
struct Round {
    rate: f64,
    others: f64,
    p50: f64,
    p99: f64,
    /// Of the api.
    cpu: Option<f64>,
}

pub(crate) async fn measure(options: &Overload) -> anyhow::Result<()> {
    Database::with(async |database| overload(options, database).await).await
}

async fn overload(options: &Overload, database: &Database) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    let keys = keys()?;
    let limit = format!("--api-rate-limit={}", options.limit);
    let api = start_api_with(&topic.name, database, &keys, &[limit]).await?;
    let (new, nothing) = (requests(CONNECTIONS, Kind::New), requests(CONNECTIONS, Kind::Nowhere));
    round(&api, &new, 429, options).await?;

    let (mut empty, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        empty.push(round(&api, &nothing, 404, options).await?);
        refused.push(round(&api, &new, 429, options).await?);
    }
    ensure!(empty.iter().all(|round| round.others == 0.0), "some requests were not answered 404");
    let title = format!(
        "Refusals, when {} requests a second are admitted and {TIMES} times as many are sent (medians of {ROUNDS} rounds)",
        options.limit
    );
    let columns = ["", "answers/s", "p50 ms", "p99 ms", "CPU-µs in the api, of each request", "admitted/s"];
    let table = Table::begin(&title, &columns);
    print(&table, "empty router: 404 for a path that is not there", &empty);
    print(&table, "429 with Retry-After, beside those that are admitted", &refused);
    println!("\nMemory of the api, MiB (most): {}.", memory(&api)?);
    api.end().await
}

async fn round(api: &Child, requests: &[Requests], wanted: u16, options: &Overload) -> anyhow::Result<Round> {
    let (before, time) = (cpu(&[api]), Duration::from_secs(options.seconds));
    let seen = load::open(api.address, requests, wanted, TIMES * options.limit, time).await?;
    let cpu = cpu(&[api]).per(&before, seen.answered + seen.failed);
    Ok(Round {
        rate: seen.rate(),
        others: seen.failed as f64 / seen.time.as_secs_f64(),
        p50: seen.percentile(50.0),
        p99: seen.percentile(99.0),
        cpu: cpu.first().copied().flatten(),
    })
}

fn print(table: &Table, name: &str, rounds: &[Round]) {
    let of = |value: fn(&Round) -> f64| number(median(rounds.iter().map(value).collect()));
    let cpu: Vec<_> = rounds.iter().filter_map(|round| round.cpu).collect();
    table.row(&[
        name.into(),
        of(|round| round.rate),
        of(|round| round.p50),
        of(|round| round.p99),
        maybe((!cpu.is_empty()).then(|| median(cpu))),
        of(|round| round.others),
    ]);
}
