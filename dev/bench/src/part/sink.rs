//! The listener: records from Kafka to MySQL, against LOAD DATA of the same rows into the same table, over one
//! connection.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;

use super::{PARTITIONS, cpu, memory, servers, start_listener};
use crate::{
    command::Sink,
    measure::Cpu,
    server::{self, Database},
    table::{Table, maybe, median, number},
};

const ROUNDS: usize = 3;
/// How often is looked how far it is.
const LOOK: Duration = Duration::from_millis(25);
/// How long may nothing become a row.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn measure(options: &Sink) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    server::fill(&topic.name, options.rows).await?;
    let dump = tempfile::tempdir()?;
    let database = Database::create().await?;
    // It warms everything up as well.
    drain(&topic.name, &database, 2, options.rows).await?;
    server::dump(&database, &dump)?;
    database.delete().await?;

    let (mut loads, mut drains) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        for (at, connections) in [(0, 1), (1, 2)] {
            loads[at].push(load(&dump, connections, options.rows).await?);
            let database = Database::create().await?;
            let drained = drain(&topic.name, &database, connections, options.rows).await;
            database.delete().await?;
            drains[at].push(drained?);
        }
    }
    print(options.rows, &loads, &drains);
    Ok(())
}

fn print(rows: u64, loads: &[Vec<Loaded>; 2], drains: &[Vec<Drained>; 2]) {
    let columns = ["", "rows/s", "of LOAD DATA", "CPU-µs a row: listener", "Kafka", "MySQL", "MiB (most)"];
    let title = format!(
        "Kafka to MySQL, {} records of {} accounts (medians of {ROUNDS} rounds)",
        number(rows as f64),
        super::ACCOUNTS
    );
    let table = Table::begin(&title, &columns);
    let names = ["1 connection", "2 connections"];
    let of_one = median(loads[0].iter().map(|loaded| loaded.rate).collect());
    let percent = |rate: f64| format!("{:.0} %", rate / of_one * 100.0);
    for (name, loads) in names.iter().zip(loads) {
        let rate = median(loads.iter().map(|loaded| loaded.rate).collect());
        let cpu = maybe(medians(loads.iter().map(|loaded| loaded.cpu)));
        let name = format!("LOAD DATA LOCAL INFILE, {name}, no offsets");
        table.row(&[name, number(rate), percent(rate), String::new(), String::new(), cpu, String::new()]);
    }
    for (name, drains) in names.iter().zip(drains) {
        let rate = median(drains.iter().map(|drained| drained.rate).collect());
        let cpu =
            |at: usize| maybe(medians(drains.iter().map(|drained| drained.cpu.get(at).copied().flatten())));
        let memory = drains.last().map(|drained| drained.memory.clone()).unwrap_or_default();
        table.row(&[
            format!("listener, {name}"),
            number(rate),
            percent(rate),
            cpu(0),
            cpu(1),
            cpu(2),
            memory,
        ]);
    }
}

fn medians(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.collect::<Option<Vec<_>>>().map(median)
}

/// What was seen of a listener.
struct Drained {
    rate: f64,
    /// Of the listener, Kafka and MySQL.
    cpu: Vec<Option<f64>>,
    memory: String,
}

/// What was seen of LOAD DATA.
struct Loaded {
    rate: f64,
    /// Of MySQL.
    cpu: Option<f64>,
}

/// Lets a listener record a topic.
async fn drain(topic: &str, database: &Database, writers: u8, rows: u64) -> anyhow::Result<Drained> {
    let listener = start_listener(topic, database, writers).await?;
    let (first, begun, before) =
        progress(database, topic, 1).await.map(|count| (count, Instant::now(), cpu(&[&listener])))?;
    let last = progress(database, topic, rows).await?;
    let time = begun.elapsed().as_secs_f64();
    let cpu = cpu(&[&listener]).per(&before, last - first);
    let memory = memory(&listener)?;
    listener.end().await?;
    let count = database.count("transactions").await?;
    ensure!(count == rows, "{count} rows of {rows}");
    Ok(Drained { rate: (last - first) as f64 / time, cpu, memory })
}

/// Waits until so many records are recorded; how many then are. The offsets are in the transactions of the rows.
async fn progress(database: &Database, topic: &str, wanted: u64) -> anyhow::Result<u64> {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let offsets = database.store.offsets(topic).await?;
        let count = u64::try_from(offsets.values().map(|stored| stored.next_offset).sum::<i64>())?;
        if count >= wanted {
            return Ok(count);
        }
        if count > last {
            (last, moved) = (count, Instant::now());
        }
        ensure!(moved.elapsed() < PATIENCE, "{count} of {wanted} rows, and no more come");
        tokio::time::sleep(LOOK).await;
    }
}

/// Loads the rows of a dump into a new table, over as many connections.
async fn load(dump: &TempDir, connections: u8, rows: u64) -> anyhow::Result<Loaded> {
    let database = Database::create().await?;
    let [_, mysql] = servers();
    let (before, begun) = (Cpu::of(&[mysql]), Instant::now());
    let loaded = server::load(&database, dump, connections).await;
    let (time, cpu) = (begun.elapsed(), Cpu::of(&[mysql]).per(&before, rows));
    let count = database.count("transactions").await;
    database.delete().await?;
    loaded?;
    let count = count?;
    ensure!(count == rows, "{count} rows of {rows}");
    Ok(Loaded { rate: rows as f64 / time.as_secs_f64(), cpu: cpu.first().copied().flatten() })
}
