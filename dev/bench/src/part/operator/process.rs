//! The operator as a process, and what its metrics say.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{self, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::measure::Process;

/// How long it may take to start, to end, and until all is as it must be.
const START: Duration = Duration::from_mins(1);
const END: Duration = Duration::from_secs(30);
const CONVERGES: Duration = Duration::from_mins(10);
/// How often its metrics are asked for what must come.
const AGAIN: Duration = Duration::from_millis(200);

/// The operator's process. It is killed with this value.
pub(super) struct Operator {
    process: process::Child,
    admin: SocketAddr,
}

/// How long passes over pipelines took: the bounds in seconds, and how many took no longer.
pub(super) struct Passes(Vec<(f64, u64)>);

impl Operator {
    /// Starts it, and waits until it works.
    pub(super) async fn start(
        program: &Path,
        kubeconfig: &Path,
        namespace: &str,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        // Free for a moment, which is long enough on a machine that measures.
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(program)
            .args(["run", "--log=error,kube_client=off"])
            .args([format!("--admin-listen={admin}"), format!("--operator-namespaces={namespace}")])
            .arg(format!("--operator-namespace={namespace}"))
            .args(flags)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let operator = Self { process, admin };
        let began = Instant::now();
        while !operator.metrics().await.is_ok_and(|text| text.contains("fluxo_operator_leading 1")) {
            ensure!(began.elapsed() < START, "the operator does not work after {START:?}");
            tokio::time::sleep(AGAIN).await;
        }
        Ok(operator)
    }

    /// Its CPU and memory.
    pub(super) fn usage(&self) -> Process {
        Process::new(self.process.id())
    }

    /// How long passes took until now.
    pub(super) async fn passes(&self) -> anyhow::Result<Passes> {
        let text = self.metrics().await?;
        let buckets = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("fluxo_operator_reconcile_duration_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.split(' ').next()?.parse().ok()?))
        });
        Ok(Passes(buckets.collect()))
    }

    /// Waits until each pipeline had a pass that came to its end, after which its lag is read: how long after `began`.
    pub(super) async fn converged(&self, count: u32, began: Instant) -> anyhow::Result<Duration> {
        loop {
            let text = self.metrics().await?;
            let looked_at =
                text.lines().filter(|line| line.starts_with("fluxo_operator_lag_records{")).count();
            if looked_at >= usize::try_from(count)? {
                return Ok(began.elapsed());
            }
            if began.elapsed() > CONVERGES {
                bail!("after {CONVERGES:?}, {looked_at} of {count} pipelines were looked at");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Ends it, by a signal.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        let pid = self.process.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status()?.success(), "the operator is gone");
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the operator ended with {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < END, "the operator does not end");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.admin).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Passes {
    /// Those that were made after others.
    pub(super) fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().map(|(_, count)| count);
        Self(self.0.iter().zip(before).map(|((bound, count), before)| (*bound, count - before)).collect())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The time in seconds that this share of them took at most; within a bucket, as if they lay evenly in it.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = self.count() as f64 * share;
        let (mut from, mut below) = (0.0, 0);
        for (bound, count) in &self.0 {
            if *count as f64 >= rank && *count > below {
                let part = (rank - below as f64) / (count - below) as f64;
                return Some(if bound.is_finite() { from + (bound - from) * part } else { from });
            }
            (from, below) = (*bound, *count);
        }
        None
    }

    /// The share of them that took no longer than this bound, in seconds.
    pub(super) fn share_within(&self, bound: f64) -> Option<f64> {
        let within = self.0.iter().find(|(at, _)| *at >= bound).map_or(0, |(_, count)| *count);
        (self.count() > 0).then(|| within as f64 / self.count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let passes = Passes(vec![(0.001, 0), (0.002, 50), (0.005, 99), (f64::INFINITY, 100)]);
        let is = |share: f64, expected: f64| (passes.quantile(share).unwrap() - expected).abs() < 1e-9;
        assert!(is(0.5, 0.002) && is(0.25, 0.0015) && is(0.99, 0.005) && is(1.0, 0.005));
        assert!((passes.share_within(0.005).unwrap() - 0.99).abs() < 1e-9);
        let none = Passes(vec![(0.001, 0), (f64::INFINITY, 0)]);
        assert_eq!((none.quantile(0.5), none.share_within(0.005)), (None, None));
    }
}
