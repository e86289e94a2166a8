//! `fluxo-simulator`: as many seeds as are asked for, on all cores.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::bail;
use clap::Parser as _;
use fluxo_simulator::{Mutant, Summary, simulate};

/// Runs the listener's state machines against a model of Kafka and MySQL, with everything that can go wrong.
#[derive(clap::Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them: with --seeds 1, a run that failed is run again
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// A fault to put into the state machines: it must be found
    #[arg(long)]
    mutant: Option<Mutant>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { seeds, first, mutant } = Arguments::parse();
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let end = first.saturating_add(seeds);
    let all = Mutex::new((Summary::default(), None));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                let mut own = Summary::default();
                let mut found = None;
                while let seed @ 0.. = next.fetch_add(1, Ordering::Relaxed)
                    && seed < end
                {
                    match simulate(seed, mutant) {
                        Ok(summary) => own.add(&summary),
                        Err(wrong) => {
                            next.store(end, Ordering::Relaxed);
                            found = Some((seed, wrong));
                            break;
                        }
                    }
                }
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.0.add(&own);
                all.1 = all.1.take().into_iter().chain(found).min();
            });
        }
    });
    let (summary, found) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((seed, wrong)) = found {
        bail!("seed {seed}: {wrong}\nagain: fluxo-simulator --first {seed} --seeds 1");
    }
    println!("{seeds} seeds from {first} on, in {:.0?}: nothing lost, nothing twice", began.elapsed());
    let Summary { records, rows, batches } = summary;
    println!(
        "{records:>12} records, {rows} rows, {} refused, {} sent again",
        batches.refused, batches.duplicates
    );
    println!(
        "{:>12} batches were written, {} of them after more than one try, {} alone",
        batches.written, batches.retried, batches.alone
    );
    println!(
        "{:>12} were fenced off, {} had an unknown outcome, {} an unconfirmed topic",
        batches.fenced, batches.unknown, batches.unconfirmed
    );
    Ok(())
}
