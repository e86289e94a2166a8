//! Memory under load, over time.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Kind, PARTITIONS, cpu, end_to_end, keys, memory, requests, start_api, start_listener};
use crate::{
    command::Soak,
    load,
    server::Database,
    table::{Table, maybe, number},
};

const CONNECTIONS: u64 = 64;
/// How many rows the table has.
const STEPS: u32 = 20;

pub(crate) async fn measure(options: &Soak) -> anyhow::Result<()> {
    Database::with(async |database| soak(options, database).await).await
}

async fn soak(options: &Soak, database: &Database) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    let keys = keys()?;
    let api = start_api(&topic.name, database, &keys).await?;
    let listener = start_listener(&topic.name, database, 2).await?;
    let requests = requests(CONNECTIONS, Kind::New);
    let columns = [
        "s",
        "answers/s",
        "p99 ms",
        "rows",
        "api MiB (most)",
        "listener MiB (most)",
        "CPU-µs: api",
        "listener",
    ];
    let title = format!("Memory, at {} transactions a second", options.rate);
    let table = Table::begin(&title, &columns);
    let (begun, step) = (Instant::now(), options.time() / STEPS);
    for _ in 0..STEPS {
        let before = cpu(&[&api, &listener]);
        let seen =
            load::open(api.address, &requests, 202, options.rate, step.max(Duration::from_secs(1))).await?;
        let cpu = cpu(&[&api, &listener]).per(&before, seen.answered);
        ensure!(seen.failed == 0, "{} requests failed", seen.failed);
        let of = |at: usize| maybe(cpu.get(at).copied().flatten());
        table.row(&[
            begun.elapsed().as_secs().to_string(),
            number(seen.rate()),
            number(seen.percentile(99.0)),
            number(database.count("transactions").await? as f64),
            memory(&api)?,
            memory(&listener)?,
            of(0),
            of(1),
        ]);
    }
    end_to_end::end([api, listener]).await
}
