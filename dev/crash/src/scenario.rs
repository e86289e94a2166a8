//! What a campaign can be.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::Subcommand;
use fluxo_core::settings::duration;
use futures::future::try_join_all;

use crate::{
    cluster::Cluster,
    fault::{self, Fault},
    load::Load,
    report::Report,
    round::{Played, Rounds},
    service::{Service, signal},
};

/// The pace of a load that has posted enough: some hundred transactions a second.
const PACE: Duration = Duration::from_secs(1);
/// The pace of a round.
const PACE_OF_ROUND: Duration = Duration::from_millis(250);
/// How often services are restarted.
const RESTARTS: Duration = Duration::from_secs(5);
/// How much larger a listener may become while its database is away: all buffers of both of its writers, librdkafka's
/// queue, and what an allocator keeps.
const ROOM_KIB: u64 = 32 * 1024;

#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// Rounds, in each of which something else fails, by its seed
    Rounds {
        /// How many
        #[arg(long, default_value_t = 12)]
        rounds: u64,
        /// The seed of the first; each further one has the next. A round that failed is played again by its own
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The fewest transactions of a round
        #[arg(long, default_value_t = 5_000)]
        transactions: u64,
    },
    /// An api and a listener are restarted every five seconds, under load
    Rolling {
        /// For how long
        #[arg(long, default_value = "5m", value_parser = duration)]
        lasts: Duration,
    },
    /// MySQL is stopped, under load
    Away {
        /// For how long
        #[arg(long, default_value = "10m", value_parser = duration)]
        lasts: Duration,
    },
}

impl Scenario {
    pub(crate) async fn play(&self, cluster: &Cluster<'_>, report: &mut Report) -> anyhow::Result<()> {
        let recovery = if let Self::Away { lasts } = self { *lasts } else { Duration::ZERO };
        let mut rounds = Rounds::new(cluster, Duration::from_mins(2) + recovery).await?;
        match self {
            Self::Rounds { rounds: count, seed, transactions } => {
                for seed in (*seed..).take(usize::try_from(*count)?) {
                    let plan = fault::plan(seed);
                    let load = Load::new(&cluster.urls, seed, *transactions, PACE_OF_ROUND)?;
                    let faults = plan.iter().map(|planned| planned.fault).collect();
                    let happening = async {
                        try_join_all(plan.iter().map(|planned| planned.happen(cluster))).await.map(drop)
                    };
                    tell(rounds.play(load, faults, happening).await?, report)?;
                }
            }
            Self::Rolling { lasts } => {
                let load = Load::new(&cluster.urls, 0, 0, PACE)?;
                let mut restarts = Vec::new();
                let played = rounds.play(load, vec![], roll(cluster, *lasts, &mut restarts)).await?;
                tell(played, report)?;
                let longest = restarts.iter().max().copied().unwrap_or_default();
                println!(
                    "{} restarts of both services; the longest drain took {longest:.1?}",
                    restarts.len()
                );
            }
            Self::Away { lasts } => {
                let before = Listeners::look(cluster).await?;
                let load = Load::new(&cluster.urls, 0, 0, PACE)?;
                let played = rounds.play(load, vec![Fault::KillMysql], be_away(cluster, *lasts)).await?;
                tell(played, report)?;
                before.compare(&Listeners::look(cluster).await?)?;
            }
        }
        rounds.end().await
    }
}

/// Tells of a round; an error if anything was found.
fn tell(played: Played, report: &mut Report) -> anyhow::Result<()> {
    println!("{}", played.line());
    let (seed, failed) = (played.seed, played.failed());
    report.add(played);
    ensure!(!failed, "round {seed} failed: `make crash ROUNDS=1 SEED={seed}` plays it again");
    Ok(())
}

/// Restarts one of both services each time, alternately; how long each took to end.
async fn roll(cluster: &Cluster<'_>, lasts: Duration, restarts: &mut Vec<Duration>) -> anyhow::Result<()> {
    let began = Instant::now();
    for index in [0, 1].into_iter().cycle() {
        if began.elapsed() > lasts {
            break;
        }
        let tick = tokio::time::Instant::now() + RESTARTS;
        let ends = [&cluster.apis[index], &cluster.listeners[index]].map(async |service| {
            let mut service = service.lock().await;
            let began = Instant::now();
            service.end().await?;
            let took = began.elapsed();
            service.start_again()?;
            anyhow::Ok(took)
        });
        restarts.extend(try_join_all(ends).await?);
        tokio::time::sleep_until(tick).await;
    }
    Ok(())
}

async fn be_away(cluster: &Cluster<'_>, lasts: Duration) -> anyhow::Result<()> {
    signal("KILL", cluster.servers.mysql()?).await?;
    tokio::time::sleep(lasts).await;
    cluster.servers.mysql_up().await
}

/// What should not change while a database is away.
struct Listeners {
    processes: Vec<u32>,
    /// How often the group gave or took partitions.
    rebalances: usize,
    /// The most memory that each has had so far.
    largest_kib: Vec<u64>,
}

impl Listeners {
    async fn look(cluster: &Cluster<'_>) -> anyhow::Result<Self> {
        let mut found = Self { processes: vec![], rebalances: 0, largest_kib: vec![] };
        for listener in &cluster.listeners {
            let listener = listener.lock().await;
            let process = listener.process()?;
            found.processes.push(process);
            found.rebalances += rebalances(&listener)?;
            found.largest_kib.push(largest_kib(process)?);
        }
        Ok(found)
    }

    fn compare(&self, after: &Self) -> anyhow::Result<()> {
        println!(
            "memory of the listeners at most: {:?} KiB before, {:?} KiB since; {} changes of the group before, {} since",
            self.largest_kib,
            after.largest_kib,
            self.rebalances,
            after.rebalances - self.rebalances
        );
        ensure!(self.processes == after.processes, "a listener was restarted");
        ensure!(self.rebalances == after.rebalances, "a listener left its group");
        for (before, after) in self.largest_kib.iter().zip(&after.largest_kib) {
            ensure!(*after < before + ROOM_KIB, "a listener grew from {before} KiB to {after} KiB");
        }
        Ok(())
    }
}

fn rebalances(listener: &Service) -> anyhow::Result<usize> {
    Ok(std::fs::read_to_string(listener.log())?.matches("by the group").count())
}

fn largest_kib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
