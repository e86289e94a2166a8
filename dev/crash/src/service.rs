//! A service in a process of its own, and what can be done to it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::process::{Child, Command};

/// How long a service may take to end when it is asked to: its grace, and a moment.
const GRACE: Duration = Duration::from_secs(25);

/// A service that runs. It is killed with this value.
pub(crate) struct Service {
    /// What it is called in the names of logs.
    name: String,
    program: PathBuf,
    flags: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Service {
    pub(crate) fn start(
        name: String,
        program: PathBuf,
        flags: Vec<String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let child = spawn(&program, &flags, &log)?;
        Ok(Self { name, program, flags, log, child })
    }

    /// Starts it again, after it has ended.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.flags, &self.log)?;
        Ok(())
    }

    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end, and waits until it has; it must end well.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        signal("TERM", self.process()?).await?;
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end within {GRACE:?}", self.name))??;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }

    /// Where it writes what it does.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Its number.
    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// How it ended by itself, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<(String, ExitStatus)>> {
        Ok(self.child.try_wait()?.map(|status| (self.name.clone(), status)))
    }
}

fn spawn(program: &PathBuf, flags: &[String], log: &PathBuf) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.args(flags).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("{} cannot be started", program.display()))
}

/// Sends a signal to a process that was started here.
pub(crate) async fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status().await?;
    ensure!(status.success(), "process {process} is gone");
    Ok(())
}
