//! The API server goes away again and again, and each time something is to be done once it is back.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::{
    process::Operator,
    proxy::{Mode, Proxy},
    scene::Scene,
};
use crate::{
    progress::say,
    table::{Table, number},
};

/// How soon the operator must act.
const GOAL: Duration = Duration::from_secs(10);
/// How long it is waited for at most.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the API server is away, in seconds, in turn: shorter and longer than each time after which something is
/// tried again or given up.
const AWAY: [u64; 8] = [1, 2, 3, 5, 7, 9, 12, 20];

/// How the API server goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refuses,
    Silent,
    Stalled,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Refuses, "closes its connections, and refuses new ones"),
    (Kind::Silent, "is silent; its connections never come back"),
    (Kind::Stalled, "forgets its connections, watches included; new ones work"),
];

pub(super) async fn measure(program: &Path, count: u32) -> anyhow::Result<()> {
    say(format_args!("the API server goes away {count} times"));
    let scene = Scene::start().await?;
    let (server, config) = through(&scene.kubeconfig)?;
    let proxy = Proxy::start(server).await?;
    let mut kubeconfig = NamedTempFile::new()?;
    kubeconfig.write_all(config.replace("{proxy}", &proxy.address.to_string()).as_bytes())?;
    let operator = Operator::start(program, kubeconfig.path(), &scene.namespace.name, &[]).await?;
    scene.make(1).await?;

    let mut took = KINDS.map(|_| Vec::new());
    for turn in 0..count {
        let kind = usize::try_from(turn)? % KINDS.len();
        let away = AWAY[usize::try_from(turn)? / KINDS.len() % AWAY.len()];
        // From 1 to 3, so that each is a change.
        let replicas = i32::try_from(turn % 3)? + 1;
        let back = outage(&scene, &proxy, KINDS[kind].0, Duration::from_secs(away), replicas).await?;
        let acted = scene.has_api_replicas(replicas, PATIENCE).await.map(|()| back.elapsed());
        let acted = acted.with_context(|| format!("outage {turn}: {} for {away} s", KINDS[kind].1))?;
        say(format_args!("{turn}: {} for {away} s; acted on after {acted:.1?}", KINDS[kind].1));
        took[kind].push(acted);
    }
    operator.end().await?;

    let table = Table::begin(
        "The API server goes away, and a pipeline is changed",
        &["the API server", "times", "within 10 s", "p50 s", "most s"],
    );
    for ((_, what), mut took) in KINDS.into_iter().zip(took) {
        took.sort();
        let within = took.iter().filter(|took| **took <= GOAL).count();
        let seconds = |took: Option<&Duration>| number(took.map_or(f64::NAN, Duration::as_secs_f64));
        let counts = [what.into(), took.len().to_string(), within.to_string()];
        let times = [seconds(took.get(took.len() / 2)), seconds(took.last())];
        table.row(&[counts.as_slice(), &times].concat());
    }
    println!(
        "\nFrom its return, or for a stall from the change, until the Deployment has what the pipeline says."
    );
    Ok(())
}

/// Lets the API server be away and changes a pipeline meanwhile. Returns when it was back.
async fn outage(
    scene: &Scene,
    proxy: &Proxy,
    kind: Kind,
    away: Duration,
    replicas: i32,
) -> anyhow::Result<Instant> {
    match kind {
        Kind::Stalled => {
            // Not always at the same moment of the watches.
            tokio::time::sleep(away.min(GOAL)).await;
            proxy.stall();
            let stalled = Instant::now();
            scene.set_api_replicas(replicas).await?;
            return Ok(stalled);
        }
        Kind::Refuses => proxy.be(Mode::Refuse),
        Kind::Silent => proxy.be(Mode::Silent),
    }
    scene.set_api_replicas(replicas).await?;
    tokio::time::sleep(away).await;
    proxy.be(Mode::Pass);
    Ok(Instant::now())
}

/// Where the API server is, and a kubeconfig with `{proxy}` in place of that.
fn through(kubeconfig: &Path) -> anyhow::Result<(SocketAddr, String)> {
    let text = std::fs::read_to_string(kubeconfig)?;
    let server = text.lines().find_map(|line| line.trim().strip_prefix("server: https://"));
    let server = server.context("the kubeconfig names no server by https")?.to_owned();
    let address = server.parse().context("the server is to be an address and a port")?;
    Ok((address, text.replace(&server, "{proxy}")))
}
