//! From a POST to a row that can be read, at a rate.
//!
//! Each POST says `Prefer: wait`, so its answer comes when the api has found the row: what is measured is what a client
//! sees, with the api's polling in it. The rows' own times would leave out the commit, after which a row can be read.

use std::time::Duration;

use anyhow::ensure;

use super::{Kind, PARTITIONS, cpu, keys, memory, requests, start_api, start_listener};
use crate::{
    child::Child,
    command::EndToEnd,
    load,
    server::Database,
    table::{Table, maybe, number},
};

/// More than ever wait at once, unless something stands still.
const CONNECTIONS: u64 = 512;
const WARM_UP: Duration = Duration::from_secs(5);

pub(crate) async fn measure(options: &EndToEnd) -> anyhow::Result<()> {
    Database::with(async |database| at_rate(options, database).await).await
}

async fn at_rate(options: &EndToEnd, database: &Database) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    let keys = keys()?;
    let api = start_api(&topic.name, database, &keys).await?;
    let listener = start_listener(&topic.name, database, 2).await?;
    let requests = requests(CONNECTIONS, Kind::AwaitRow);
    load::open(api.address, &requests, 201, options.rate, WARM_UP).await?;

    let before = cpu(&[&api, &listener]);
    let time = Duration::from_secs(options.seconds);
    let seen = load::open(api.address, &requests, 201, options.rate, time).await?;
    let cpu = cpu(&[&api, &listener]).per(&before, seen.answered);
    ensure!(seen.failed == 0, "{} of {} requests failed", seen.failed, seen.failed + seen.answered);

    let title =
        format!("POST to a row that can be read, {} transactions a second for {time:?}", options.rate);
    let columns = ["", "answers/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms"];
    let table = Table::begin(&title, &columns);
    let percentiles = [50.0, 99.0, 99.9, 100.0].map(|percent| number(seen.percentile(percent)));
    let row: Vec<_> = ["201".into(), number(seen.rate())].into_iter().chain(percentiles).collect();
    table.row(&row);
    let columns = ["", "CPU-µs a transaction", "MiB (most)"];
    let table = Table::begin("Its processes", &columns);
    let of = |at: usize| maybe(cpu.get(at).copied().flatten());
    for (at, (name, child)) in [("api", &api), ("listener", &listener)].into_iter().enumerate() {
        table.row(&[name.into(), of(at), memory(child)?]);
    }
    table.row(&["Kafka".into(), of(2), String::new()]);
    table.row(&["MySQL".into(), of(3), String::new()]);
    end([api, listener]).await
}

/// Ends services, in this order.
pub(crate) async fn end(services: [Child; 2]) -> anyhow::Result<()> {
    for service in services {
        service.end().await?;
    }
    Ok(())
}
