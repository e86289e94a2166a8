//! What is asked of Kafka.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fluxo_kafka::admin::{self, Admin, Config};
use rdkafka::{
    ClientConfig, admin::AdminClient, client::DefaultClientContext, error::KafkaResult,
    types::RDKafkaErrorCode,
};

/// How long what Kafka has done may take until every broker tells it.
const SETTLING: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const INTERVAL: Duration = Duration::from_millis(50);

/// A topic as Kafka has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: String,
    /// On how many brokers each partition is, by its number.
    pub(crate) replicas: BTreeMap<i32, usize>,
    pub(crate) config: Config,
}

/// A refusal, or no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// What Kafka's Java client would throw.
    pub(crate) class: &'static str,
    pub(crate) message: String,
}

impl From<admin::Error> for Error {
    fn from(error: admin::Error) -> Self {
        let class = match &error {
            admin::Error::Unanswered(_) => "TimeoutException",
            admin::Error::Refused { code, .. } => class(*code),
            admin::Error::NulByte(_) => "InvalidRequestException",
            admin::Error::NoAnswer(_) => "ApiException",
        };
        Self { class, message: error.to_string() }
    }
}

/// A client that is used for everything.
#[derive(Clone)]
pub(crate) struct Kafka {
    client: Arc<AdminClient<DefaultClientContext>>,
    timeout: Duration,
}

impl Kafka {
    pub(crate) fn new(bootstrap_servers: &str, timeout: Duration) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers).set("client.id", "topic-operator");
        Ok(Self { client: Arc::new(config.create()?), timeout })
    }

    /// The topic, if there is one of that name.
    pub(crate) async fn topic(&self, name: &str) -> Result<Option<Topic>, Error> {
        self.ask(name, |admin, name| {
            let found = admin.find_topic(name)?;
            Ok(found.map(|(admin::Topic { id, replicas }, config)| Topic { id, replicas, config }))
        })
        .await
    }

    /// Makes a topic. What is not said of it, the brokers' defaults say.
    pub(crate) async fn create(
        &self,
        name: &str,
        partitions: Option<u32>,
        replicas: Option<u16>,
        config: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let replicas = replicas.map(u32::from);
        self.ask(name, move |admin, name| admin.create_topic(name, partitions, replicas, &config)).await
    }

    /// Adds partitions until there are so many.
    pub(crate) async fn grow(&self, name: &str, partitions: u32) -> Result<(), Error> {
        self.ask(name, move |admin, name| admin.grow_topic(name, partitions)).await
    }

    /// Sets these values, or with `None` takes them back to the brokers' default, and touches no others.
    pub(crate) async fn alter(
        &self,
        name: &str,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        self.ask(name, move |admin, name| admin.alter_topic(name, &config)).await
    }

    /// Deletes a topic, if there is one of that name.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime only")]
        self.ask(name, |admin, name| admin.delete_topic(name)).await
    }

    /// Waits until the brokers tell of a topic what was done to it: they learn it a moment later than who did it.
    pub(crate) async fn settled(
        &self,
        name: &str,
        is_settled: impl Fn(Option<&Topic>) -> bool,
    ) -> Result<Option<Topic>, Error> {
        let began = Instant::now();
        loop {
            let topic = self.topic(name).await?;
            if is_settled(topic.as_ref()) || began.elapsed() > SETTLING {
                return Ok(topic);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Asks on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        topic: &str,
        question: impl FnOnce(&Admin<'_, DefaultClientContext>, &str) -> Result<T, admin::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (Self { client, timeout }, topic) = (self.clone(), topic.to_owned());
        let asked = move || question(&Admin::new(client.inner(), timeout), &topic);
        let asked = tokio::task::spawn_blocking(asked).await;
        Ok(asked.expect("a question does not panic, and is not cancelled")?)
    }
}

/// The exception of Kafka's Java client for a code.
fn class(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::ClusterAuthorizationFailed => "ClusterAuthorizationException",
        Code::InvalidConfig => "InvalidConfigurationException",
        Code::InvalidPartitions => "InvalidPartitionsException",
        Code::InvalidReplicationFactor => "InvalidReplicationFactorException",
        Code::InvalidRequest | Code::InvalidArgument => "InvalidRequestException",
        Code::InvalidTopic => "InvalidTopicException",
        Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure => "TimeoutException",
        Code::PolicyViolation => "PolicyViolationException",
        Code::TopicAlreadyExists => "TopicExistsException",
        Code::TopicAuthorizationFailed => "TopicAuthorizationException",
        Code::UnknownTopicOrPartition => "UnknownTopicOrPartitionException",
        _ => "ApiException",
    }
}
