//! A stand-in for Strimzi's Topic Operator, which no package registry has: it answers `KafkaTopic`s of a real API server
//! against a real Kafka, exactly as the real one was seen to. What was seen lies in `observed/`; each file of it is a
//! test. It is made for tests and for a cluster on a developer's machine: one namespace, no Cruise Control, no metrics.
//!
//! - [`KafkaTopic`]: as much of the resource as is read or written here
//! - `decide`: what to do about a topic, and what its status says; without I/O
//! - `kafka`: what is asked of Kafka
//! - `reconcile`: one `KafkaTopic` from what it says to what its status says

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::{
    Api, Client,
    runtime::{Controller, controller, watcher},
};

pub use resource::{Condition, KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};

mod decide;
mod kafka;
mod reconcile;
mod resource;

/// How many `KafkaTopic`s are answered at once.
const CONCURRENCY: u16 = 8;

/// What to answer, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the `KafkaTopic`s are.
    pub namespace: String,
    /// The value of their label `strimzi.io/cluster`; all others are ignored.
    pub cluster: String,
    /// The Kafka that has the topics, as `host:port[,host:port…]`.
    pub bootstrap_servers: String,
    /// How often a topic is looked at without an event: then what changed in Kafka alone is changed back.
    pub resync: Duration,
    /// How long Kafka may take for one answer, before the status says that it did not come.
    pub kafka_timeout: Duration,
}

impl Settings {
    /// With the times of the real one.
    pub fn new(namespace: String, cluster: String, bootstrap_servers: String) -> Self {
        Self {
            namespace,
            cluster,
            bootstrap_servers,
            resync: Duration::from_mins(2),
            kafka_timeout: Duration::from_secs(30),
        }
    }
}

/// Answers `KafkaTopic`s until `shutdown`; what is being answered then is finished.
///
/// # Errors
/// When the settings cannot be used. An API server or a Kafka that is away is waited for.
pub async fn run(
    client: Client,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let kafka = kafka::Kafka::new(&settings.bootstrap_servers, settings.kafka_timeout)
        .context("the bootstrap servers cannot be used")?;
    let topics: Api<KafkaTopic> = Api::namespaced(client, &settings.namespace);
    let ours =
        watcher::Config::default().labels(&format!("{}={}", resource::CLUSTER_LABEL, settings.cluster));
    let controller = Controller::new(topics.clone(), ours)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown);
    let context = reconcile::Context { topics, all: controller.store(), kafka, resync: settings.resync };
    controller
        .run(reconcile::reconcile, |topic, error, _| reconcile::on_error(&topic, error), Arc::new(context))
        .for_each(async |answered| {
            if let Err(error) = answered {
                tracing::debug!(error = format!("{:#}", anyhow::Error::new(error)), "not answered");
            }
        })
        .await;
    Ok(())
}
