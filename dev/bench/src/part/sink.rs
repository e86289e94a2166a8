//! The listener: records from Kafka to MySQL, against LOAD DATA of the same rows into the same table.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;

use super::{PARTITIONS, cpu, memory, servers, start_listener};
use crate::{
    command::Sink,
    measure::Cpu,
    server::{self, Database},
    table::{Table, maybe, number},
};

/// How often is looked how far it is.
const LOOK: Duration = Duration::from_millis(25);
/// How long may nothing become a row.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn measure(options: &Sink) -> anyhow::Result<()> {
    let topic = fluxo_testkit::topic(PARTITIONS).await;
    server::fill(&topic.name, options.rows).await?;
    let columns = ["", "rows/s", "of LOAD DATA", "CPU-µs a row: listener", "Kafka", "MySQL", "MiB (most)"];
    let title =
        format!("Kafka to MySQL, {} records of {} accounts", number(options.rows as f64), super::ACCOUNTS);
    let table = Table::begin(&title, &columns);
    let dump = tempfile::tempdir()?;
    for writers in [1, 2] {
        let database = Database::create().await?;
        let drained = drain(&topic.name, &database, writers, options.rows).await;
        if writers == 1 && drained.is_ok() {
            server::dump(&database, &dump)?;
        }
        database.delete().await?;
        let drained = drained?;
        let (loaded, cpu) = load(&dump, writers, options.rows).await?;
        let name =
            |what: &str| format!("{what}, {writers} connection{}", if writers == 1 { "" } else { "s" });
        table.row(&[
            name("LOAD DATA LOCAL INFILE, no offsets"),
            number(loaded),
            String::new(),
            String::new(),
            String::new(),
            maybe(cpu),
            String::new(),
        ]);
        let Drained { rate, cpu, memory } = drained;
        let ratio = format!("{:.0} %", rate / loaded * 100.0);
        let cpu = |at: usize| maybe(cpu.get(at).copied().flatten());
        table.row(&[name("listener"), number(rate), ratio, cpu(0), cpu(1), cpu(2), memory]);
    }
    Ok(())
}

/// What was seen of a listener.
struct Drained {
    rate: f64,
    /// Of the listener, Kafka and MySQL.
    cpu: Vec<Option<f64>>,
    memory: String,
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

/// Loads the rows of a dump into a new table, over as many connections; rows a second, and MySQL's CPU for a row.
async fn load(dump: &TempDir, connections: u8, rows: u64) -> anyhow::Result<(f64, Option<f64>)> {
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
    Ok((rows as f64 / time.as_secs_f64(), cpu.first().copied().flatten()))
}
