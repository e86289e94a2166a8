//! The listener: Kafka to the database, exactly once.
//!
//! Layout, in suggested reading order: [`sink`] decides, without I/O, which partition goes on where and what is
//! written when; [`resolve`] decides where a partition may go on; [`disposition`](mod@disposition) what is done about
//! a failure; `writer` does what a sink says; [`kafka`] is the thread that polls. `forward` fills the dead-letter topic,
//! whose records [`dead_letter`] describes. [`adopt`], [`quarantine`] and [`replay`] are commands of a person.
//! [`settings`] and [`metrics`] are what an operator sees.

pub mod adopt;
pub mod dead_letter;
pub mod disposition;
mod forward;
pub mod kafka;
pub mod metrics;
pub mod quarantine;
pub mod replay;
pub mod resolve;
pub mod settings;
pub mod sink;
mod trace;
mod writer;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use fluxo_core::kit::{admin, health::Readiness, shutdown::Shutdown};
use fluxo_store::Store;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinSet};

use forward::{Forwarder, Sender};
use kafka::{Consumer, Intake, Membership, Oracle};
use metrics::Metrics;
use settings::{Command, Settings};
use writer::{Shared, Writer};

/// Told how many records, of how many bytes of values, are recorded or in quarantine now.
pub type OnRecorded = Arc<dyn Fn(usize, usize) + Send + Sync>;

/// A listener whose admin port is bound.
pub struct Listener {
    settings: Settings,
    admin: TcpListener,
    on_recorded: Option<OnRecorded>,
}

/// Runs the command that the settings name: listens, if none.
///
/// # Errors
/// Everything that a person must mend before another start can help.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    match &settings.command {
        Some(Command::Adopt(decision)) => adopt::adopt(&settings, decision).await,
        Some(Command::Quarantine(command)) => {
            quarantine::run(&settings, command, &mut std::io::stdout()).await
        }
        Some(Command::Replay(range)) => replay::replay(&settings, range, &mut std::io::stdout()).await,
        None => Listener::bind(settings).await?.serve(shutdown).await,
    }
}

impl Listener {
    /// Binds the admin port.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(settings: Settings) -> anyhow::Result<Self> {
        let address = settings.run.admin_listen;
        let admin =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { settings, admin, on_recorded: None })
    }

    /// Tells somebody of what is recorded.
    #[must_use]
    pub fn on_recorded(mut self, told: OnRecorded) -> Self {
        self.on_recorded = Some(told);
        self
    }

    /// The address of the admin port.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Listens until it is told to drain, or cannot go on.
    ///
    /// # Errors
    /// Everything that a person must mend before another start can help.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Self { settings, admin, on_recorded } = self;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::default();
        let probes = admin::serve(admin, readiness.clone(), Arc::new(registry), shutdown.clone());
        tokio::select! {
            ended = probes => ended.context("the admin port failed"),
            ended = listen(&settings, readiness, metrics, on_recorded, shutdown) => ended,
        }
    }
}

async fn listen(
    settings: &Settings,
    readiness: Readiness,
    metrics: Metrics,
    on_recorded: Option<OnRecorded>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (kafka, database) = (readiness.condition("kafka"), readiness.condition("database"));
    let partitions = readiness.condition("partitions");
    let store = Store::open(&settings.database).await?;
    tokio::select! {
        reached = store.wait_until_reachable(|error| database.fails(chain(error))) => {
            reached.map_err(|error| anyhow::anyhow!("{}", chain(&error)))?;
        }
        () = shutdown.draining() => return Ok(()),
    }
    database.holds();
    partitions.holds();

    let limits = &settings.listener;
    let (intakes, lanes): (Vec<_>, Vec<_>) = (0..limits.listener_writers)
        .map(|_| {
            let (intake, messages, room) = Intake::new(limits.listener_buffer_bytes);
            (intake, (messages, room))
        })
        .unzip();
    let membership = Membership {
        group: limits.listener_group.clone(),
        protocol: limits.listener_group_protocol,
        session_timeout: limits.listener_session_timeout,
    };
    let consumer = Arc::new(Consumer::join(&settings.kafka, &membership, intakes, kafka.clone())?);
    let shared = Arc::new(Shared {
        store,
        consumer: Arc::clone(&consumer),
        oracle: Oracle::start(&settings.kafka)?,
        topic: settings.kafka.kafka_topic.clone(),
        metrics,
        kafka,
        database,
        partitions: writer::Stopped::new(partitions),
        duty: Arc::default(),
        on_recorded,
    });
    let mut forwarding = forward(settings, &shared, &shutdown);
    let mut writers = JoinSet::new();
    for (number, (messages, room)) in lanes.into_iter().enumerate() {
        let writer = Writer::new(number, settings, Arc::clone(&shared));
        writers.spawn(writer.run(messages, room, shutdown.clone()));
    }
    drop(shared);
    let ended = first_failure(&mut writers).await;
    drop(writers);
    if ended.is_err() {
        forwarding.abort_all();
    }
    // What Kafka has not acknowledged by then is forwarded again by whoever has its partition next.
    let forwarded = tokio::time::timeout(patience(settings), forwarding.join_next());
    let _ = tokio::join!(leave(consumer), forwarded);
    ended
}

/// How long the end waits for what does not answer: first for what is being written, then for what is being forwarded. So
/// there is time to leave the group, and others need not wait for the session to end.
fn patience(settings: &Settings) -> Duration {
    settings.run.shutdown_grace / 3
}

/// Begins to fill the dead-letter topic, if there is one.
fn forward(settings: &Settings, shared: &Shared, shutdown: &Shutdown) -> JoinSet<()> {
    let mut forwarding = JoinSet::new();
    if let Some(dead_letters) = &settings.listener.listener_dead_letter_topic {
        let forwarder = Forwarder {
            store: shared.store.clone(),
            topic: shared.topic.clone(),
            sender: Sender::new(&settings.kafka, dead_letters, &settings.listener.listener_group),
            duty: Arc::clone(&shared.duty),
            metrics: shared.metrics.clone(),
        };
        forwarding.spawn(forwarder.run(shutdown.clone()));
    }
    forwarding
}

/// Waits for all writers, or for the first that fails.
async fn first_failure(writers: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = writers.join_next().await {
        ended.context("a writer panicked")??;
    }
    Ok(())
}

/// Leaves the group, so that others need not wait for the session to end.
async fn leave(consumer: Arc<Consumer>) {
    if let Some(consumer) = Arc::into_inner(consumer) {
        let _ = tokio::task::spawn_blocking(move || consumer.close()).await;
    }
}

/// An error with its causes, for a log line or a person.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
