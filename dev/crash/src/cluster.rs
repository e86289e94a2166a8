//! The whole: two apis and two listeners between the servers.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use fluxo_core::settings::DatabaseSettings;
use fluxo_store::Store;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use sea_orm::ConnectionTrait as _;
use tokio::{process::Command, sync::Mutex};

use crate::{
    Arguments,
    servers::{BROKERS, Servers},
    service::Service,
};

pub(crate) const TOPIC: &str = "transactions";
pub(crate) const DEAD_LETTERS: &str = "transactions.dlq";
pub(crate) const DATABASE: &str = "fluxo";
pub(crate) const PARTITIONS: i32 = 6;
/// How long the group waits for a listener that is silent: the least that brokers allow.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// How long Kafka is given to acknowledge a record.
pub(crate) const DELIVERY: Duration = Duration::from_secs(3);
/// The first of the ports of the apis, below those of the brokers; their admin ports and the listeners' follow.
const PORTS_BELOW: u16 = 40;
const TIMEOUT: Duration = Duration::from_mins(1);

/// What is crashed.
pub(crate) struct Cluster<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) apis: Vec<Mutex<Service>>,
    pub(crate) listeners: Vec<Mutex<Service>>,
    /// Where clients reach the apis.
    pub(crate) urls: Vec<String>,
    /// Not by a link.
    pub(crate) store: Store,
}

impl<'a> Cluster<'a> {
    pub(crate) async fn start(arguments: &Arguments, servers: &'a Servers) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&arguments.logs)?;
        make_topics(servers).await?;
        make_database(arguments, servers).await?;
        let store = Store::open(&DatabaseSettings::of_url(servers.database(DATABASE))).await?;
        let port = |index: usize, kind: usize| arguments.kafka_port - PORTS_BELOW + address(index, kind);
        let start = |program: &str, index: usize, own: Vec<String>| {
            let name = format!("{program}-{index}");
            let flags = common(servers).into_iter().chain(own).collect();
            let log = arguments.logs.join(format!("{name}.log"));
            Service::start(name, arguments.programs.join(program), flags, log).map(Mutex::new)
        };
        let api = |index| {
            let own = [
                format!("--api-listen=127.0.0.1:{}", port(index, 0)),
                format!("--admin-listen=127.0.0.1:{}", port(index, 1)),
                format!("--api-delivery-timeout={}s", DELIVERY.as_secs()),
                "--api-auth=none".into(),
            ];
            start("api", index, own.into())
        };
        let listener = |index| {
            let own = [
                format!("--admin-listen=127.0.0.1:{}", port(index, 2)),
                format!("--listener-session-timeout={}s", SESSION.as_secs()),
                format!("--listener-dead-letter-topic={DEAD_LETTERS}"),
            ];
            start("listener", index, own.into())
        };
        Ok(Self {
            servers,
            apis: (0..2).map(api).collect::<anyhow::Result<_>>()?,
            listeners: (0..2).map(listener).collect::<anyhow::Result<_>>()?,
            urls: (0..2).map(|index| format!("http://127.0.0.1:{}", port(index, 0))).collect(),
            store,
        })
    }

    /// Looks whether a service has ended that nobody has ended.
    pub(crate) async fn all_run(&self) -> anyhow::Result<()> {
        for service in self.apis.iter().chain(&self.listeners) {
            if let Some((name, status)) = service.lock().await.ended()? {
                anyhow::bail!("{name} has ended by itself: {status}");
            }
        }
        Ok(())
    }
}

fn address(index: usize, kind: usize) -> u16 {
    u16::try_from(3 * index + kind).unwrap_or_default()
}

fn common(servers: &Servers) -> Vec<String> {
    vec![
        format!("--kafka-bootstrap-servers={}", servers.kafka_of_services()),
        format!("--kafka-topic={TOPIC}"),
        format!("--database-url={}", servers.database_of_services(DATABASE)),
        "--log=info".into(),
    ]
}

async fn make_topics(servers: &Servers) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers.kafka()).create()?;
    let topics = [TOPIC, DEAD_LETTERS].map(|name| {
        NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(BROKERS.into()))
            .set("min.insync.replicas", "2")
            .set("unclean.leader.election.enable", "false")
    });
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    for made in admin.create_topics(&topics, &options).await? {
        made.map_err(|(_, code)| code).context("a topic")?;
    }
    Ok(())
}

async fn make_database(arguments: &Arguments, servers: &Servers) -> anyhow::Result<()> {
    let store = Store::open(&DatabaseSettings::of_url(servers.database("test"))).await?;
    store.connection().execute_unprepared(&format!("CREATE DATABASE {DATABASE}")).await?;
    store.close().await;
    let mut migrations = Command::new(arguments.programs.join("migrations"));
    migrations.arg("up").arg(format!("--database-url={}", servers.database(DATABASE)));
    let output = migrations.output().await.context("the program migrations")?;
    ensure!(output.status.success(), "no schema: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
