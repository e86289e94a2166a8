//! What is needed of Kafka's client beside its wrapper: the settings of the services' connections, and [`admin`], the
//! questions that the wrapper does not put.

pub mod admin;

use std::time::Duration;

use anyhow::Context as _;
use fluxo_core::{TopicId, settings::KafkaSettings};
use rdkafka::{ClientConfig, ClientContext, client::Client};

use crate::admin::Admin;

/// The properties of a client that reaches these brokers, to which its own are added. They hold the password: never log
/// them.
///
/// # Errors
/// When a user is needed and none is set, or a file cannot be read.
pub fn client_config(kafka: &KafkaSettings) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.extend(kafka.connection()?.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(config)
}

/// Asks for the id of a topic and the number of its partitions. Blocks.
///
/// The id of a topic never comes back: what was fetched before this was asked is of the topic that the answer names,
/// if an answer before it named the same.
///
/// # Errors
/// When there is no such topic, or Kafka does not say in time.
pub fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> anyhow::Result<(TopicId, usize)> {
    let described = Admin::new(client, timeout).topic(topic).with_context(|| format!("topic {topic}"))?;
    let id = TopicId::parse(&described.id).with_context(|| format!("topic {topic} has no id"))?;
    Ok((id, described.replicas.len()))
}
