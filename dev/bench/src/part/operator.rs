//! The operator: what it costs at rest, how soon all is true again after a restart, and after the API server was away.
//!
//! It runs as in production, as a process of its own program, in one namespace. The API server is real and is nobody
//! else's: its own metrics count what is written. Pipelines are beside a made-up `Kafka` of Strimzi's, in plain text and
//! without a user, whose brokers are the real ones; the stand-in for Strimzi's Topic Operator makes their topics. There
//! is no kubelet: that pods run is said of them, so pipelines are Ready.

mod outages;
mod process;
mod proxy;
mod scene;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    command::Operator as Options,
    measure::{Cpu, Process},
    progress::say,
    table::{Table, maybe, number},
};
use process::Operator;
use scene::Scene;

/// Fewer pipelines than this are looked at each second instead of each minute, so that there are passes to measure.
const FEW: u32 = 60;
/// How long nothing may be written until all is at rest.
const QUIET: Duration = Duration::from_secs(20);
/// How long all may take until it is at rest.
const SETTLES: Duration = Duration::from_mins(30);

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    println!("{}", scene::version().await?);
    for count in &options.pipelines {
        let scene = Scene::start().await?;
        let rest = Duration::from_secs(options.rest);
        at_rest(&scene, &program, *count, rest).await.with_context(|| format!("{count} pipelines"))?;
    }
    if options.outages > 0 {
        outages::measure(&program, options.outages).await?;
    }
    Ok(())
}

/// The operator's program: beside this one, unless it is named.
fn program(options: &Options) -> anyhow::Result<PathBuf> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("operator"));
    let program = options.program.clone().map_or_else(beside, Ok)?;
    ensure!(program.exists(), "{} is missing: cargo build --release -p fluxo-operator", program.display());
    Ok(program)
}

async fn at_rest(scene: &Scene, program: &std::path::Path, count: u32, rest: Duration) -> anyhow::Result<()> {
    let resync = [if count < FEW { "--operator-resync=1s" } else { "--operator-resync=60s" }];
    let start = || Operator::start(program, &scene.kubeconfig, &scene.namespace.name, &resync);
    let operator = start().await?;
    let began = Instant::now();
    say(format_args!("{count} pipelines are made"));
    scene.make(count).await?;
    let made = began.elapsed();
    settle(scene).await?;

    let title = format!("{count} pipelines at rest for {rest:?}, by {}", resync[0]);
    let columns =
        ["", "passes", "p50 ms", "p99 ms", "within 5 ms", "written", "MiB (most)", "CPU", "Kafka's CPU"];
    let table = Table::begin(&title, &columns);
    look(scene, &operator, &table, "after they were made", rest).await?;
    operator.end().await?;

    say(format_args!("the operator is started again"));
    let began = Instant::now();
    let operator = start().await?;
    let converged = operator.converged(count, began).await?;
    scene.all_are_right(count).await?;
    settle(scene).await?;
    look(scene, &operator, &table, "after a restart", rest / 10).await?;
    println!(
        "\nAll were Ready {} s after they were begun to be made, and looked at {} s after a restart.",
        number(made.as_secs_f64()),
        number(converged.as_secs_f64())
    );
    operator.end().await
}

/// One row: what the operator does for a while, in which nobody wants anything of it.
async fn look(
    scene: &Scene,
    operator: &Operator,
    table: &Table,
    what: &str,
    rest: Duration,
) -> anyhow::Result<()> {
    let kafka = || crate::server::port_of_kafka().and_then(Process::listening);
    let usage = || Cpu::of(&[Some(operator.usage()), kafka()]);
    say(format_args!("at rest for {rest:?}, {what}"));
    let (passes, writes, cpu) = (operator.passes().await?, scene.writes().await?, usage());
    tokio::time::sleep(rest).await;
    let (passes, written) = (operator.passes().await?.since(&passes), scene.writes().await?.since(&writes));
    let cpu = usage().per(&cpu, 1);
    let share = |at: usize| {
        let micros = cpu.get(at).copied().flatten();
        micros
            .map_or_else(|| "–".into(), |micros| format!("{:.1} %", micros / rest.as_micros() as f64 * 100.0))
    };
    let (now, most) = operator.usage().memory()?;
    table.row(&[
        what.into(),
        passes.count().to_string(),
        maybe(passes.quantile(0.5).map(|seconds| seconds * 1e3)),
        maybe(passes.quantile(0.99).map(|seconds| seconds * 1e3)),
        passes.share_within(0.005).map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0)),
        written.to_string(),
        format!("{} ({})", number(now), number(most)),
        share(0),
        share(1),
    ]);
    Ok(())
}

/// Waits until nobody writes anything any more.
async fn settle(scene: &Scene) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let before = scene.writes().await?;
        tokio::time::sleep(QUIET).await;
        let written = scene.writes().await?.since(&before);
        if written.is_none() {
            return Ok(());
        }
        say(format_args!("no rest yet: {written}"));
        ensure!(began.elapsed() < SETTLES, "there is no rest: {written}");
    }
}
