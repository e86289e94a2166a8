//! Kafka and MySQL: three brokers and a database of this campaign's own, and ways to both that can be cut.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use fluxo_testkit::Link;
use tokio::process::Command;

/// How many brokers: a record is on all of them, and acknowledged by two.
pub(crate) const BROKERS: u16 = 3;
/// Beyond the port of a broker: where its listener is that is reached through a link.
const THROUGH: u16 = 150;

/// What the services stand on.
pub(crate) struct Servers {
    kafka_port: u16,
    mysql_port: u16,
    /// The ways of the services to each broker.
    pub(crate) to_brokers: Vec<Link>,
    /// The way of the services to MySQL.
    pub(crate) to_mysql: Link,
}

impl Servers {
    /// Starts them anew, with nothing in them.
    pub(crate) async fn start(kafka_port: u16, mysql_port: u16) -> anyhow::Result<Self> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let to_brokers =
            (kafka_port..kafka_port + BROKERS).map(|port| Link::to(&local(port + THROUGH))).collect();
        let servers = Self { kafka_port, mysql_port, to_brokers, to_mysql: Link::to(&local(mysql_port)) };
        servers.wipe().await?;
        servers.brokers_up().await?;
        servers.mysql_up().await?;
        Ok(servers)
    }

    /// Ends them and removes what they have.
    pub(crate) async fn wipe(&self) -> anyhow::Result<()> {
        run(Command::new(dev("kafka/down")).args([&self.kafka_port.to_string(), "--wipe"])).await?;
        run(Command::new(dev("mysql/down")).args([&self.mysql_port.to_string(), "--wipe"])).await
    }

    /// Starts the brokers that do not run, with what they had, and waits until all know of each other.
    pub(crate) async fn brokers_up(&self) -> anyhow::Result<()> {
        let through: Vec<_> = self.to_brokers.iter().map(|link| link.address().port().to_string()).collect();
        run(Command::new(dev("kafka/up"))
            .args([self.kafka_port.to_string(), BROKERS.to_string()])
            .env("KAFKA_THROUGH", through.join(",")))
        .await
    }

    /// Starts MySQL, if it does not run, with what it had.
    pub(crate) async fn mysql_up(&self) -> anyhow::Result<()> {
        run(Command::new(dev("mysql/up")).arg(self.mysql_port.to_string())).await
    }

    /// The brokers, as this program reaches them: by no link.
    pub(crate) fn kafka(&self) -> String {
        let brokers = (self.kafka_port..self.kafka_port + BROKERS).map(|port| format!("127.0.0.1:{port}"));
        brokers.collect::<Vec<_>>().join(",")
    }

    /// The brokers, as the services reach them.
    pub(crate) fn kafka_of_services(&self) -> String {
        let links = self.to_brokers.iter().map(|link| link.address().to_string());
        links.collect::<Vec<_>>().join(",")
    }

    /// A database, as this program reaches it.
    pub(crate) fn database(&self, name: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{name}", self.mysql_port)
    }

    /// A database, as the services reach it.
    pub(crate) fn database_of_services(&self, name: &str) -> String {
        format!("mysql://root@{}/{name}", self.to_mysql.address())
    }

    /// The process of a broker, counted from 0.
    pub(crate) fn broker(&self, index: usize) -> anyhow::Result<u32> {
        process(&home("REAL_KAFKA_HOME", "real-kafka")?.join(format!(
            "{}/{}.pid",
            self.kafka_port,
            index + 1
        )))
    }

    /// The process of MySQL.
    pub(crate) fn mysql(&self) -> anyhow::Result<u32> {
        process(&home("REAL_MYSQL_HOME", "real-mysql")?.join(format!("mysqld-{}.pid", self.mysql_port)))
    }
}

/// A script that stands beside this program.
fn dev(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script)
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", command.as_std().get_program().display());
    Ok(())
}

/// Where the scripts keep what they started.
#[allow(clippy::disallowed_methods, reason = "it is the scripts' own setting")]
fn home(variable: &str, folder: &str) -> anyhow::Result<PathBuf> {
    match std::env::var_os(variable) {
        Some(home) => Ok(home.into()),
        None => {
            Ok(Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache").join(folder))
        }
    }
}

fn process(file: &Path) -> anyhow::Result<u32> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} is missing", file.display()))?;
    Ok(text.trim().parse()?)
}
