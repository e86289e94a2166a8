//! A service in a process of its own, so that its CPU and memory are nobody else's: this program, run again.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use fluxo_api::Api;
use fluxo_core::{
    kit::{shutdown::Shutdown, telemetry},
    settings::RunSettings,
};
use fluxo_listener::Listener;

use crate::{load::Connection, measure::Process};

/// How long a service may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long a service may take to end.
const END: Duration = Duration::from_secs(30);

/// The services.
#[derive(Subcommand)]
pub(crate) enum Service {
    /// The api.
    Api(Box<fluxo_api::Settings>),
    /// The listener.
    Listener(Box<fluxo_listener::settings::Settings>),
}

/// A service that runs. It is killed with this value.
pub(crate) struct Child {
    process: process::Child,
    /// What clients call, or the admin port of a service that has no clients.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Service {
    /// Serves until standard input ends, which it does with the process that started this one.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        let shutdown = Shutdown::manual();
        let draining = shutdown.clone();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            draining.drain();
        });
        match self {
            Self::Api(settings) => {
                let _telemetry = start_logs(&settings.run)?;
                let api = Api::bind(*settings).await?;
                println!("{} {}", api.local_addr()?, api.admin_addr()?);
                api.serve(shutdown).await
            }
            Self::Listener(settings) => {
                let _telemetry = start_logs(&settings.run)?;
                let listener = Listener::bind(*settings).await?;
                println!("{0} {0}", listener.admin_addr()?);
                listener.serve(shutdown).await
            }
        }
    }
}

fn start_logs(run: &RunSettings) -> anyhow::Result<telemetry::Telemetry> {
    telemetry::init("bench", &run.log)
}

impl Child {
    /// Starts a service with these flags, and waits until it is ready.
    pub(crate) async fn start(service: &str, flags: &[String]) -> anyhow::Result<Self> {
        let mut process = process::Command::new(std::env::current_exe()?)
            .args(["serve", service, "--admin-listen=127.0.0.1:0", "--log=error"])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("it was piped")?;
        let first = tokio::task::spawn_blocking(|| BufReader::new(output).lines().next()).await?;
        let first = first.with_context(|| format!("the {service} did not start"))??;
        let (address, admin) = first.split_once(' ').context("two addresses")?;
        let child = Self { address: address.parse()?, admin: admin.parse()?, process };
        child.ready().await?;
        Ok(child)
    }

    /// Its CPU and memory.
    pub(crate) fn usage(&self) -> Process {
        Process::new(self.process.id())
    }

    /// Ends it, as a signal would.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "a service ended with {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < END, "a service did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let request = b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n";
        loop {
            let mut connection = Connection::open(self.admin).await?;
            if connection.call(request).await? == 200 {
                return Ok(());
            }
            ensure!(began.elapsed() < START, "a service was not ready in {START:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
