//! What is asked of Kafka.
//!
//! rdkafka tells no id of a topic, keeps the brokers' own words for a refusal to itself, and alters the configuration of
//! a topic only as a whole. Where one of these matters, librdkafka is asked directly: that is `native`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier},
    client::DefaultClientContext,
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};

mod native;

type Admin = AdminClient<DefaultClientContext>;

/// How long what Kafka has done may take until every broker tells it.
const SETTLING: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const INTERVAL: Duration = Duration::from_millis(50);

/// A topic as Kafka has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: String,
    /// On how many brokers each partition is.
    pub(crate) replicas: Vec<usize>,
    pub(crate) config: BTreeMap<String, Entry>,
}

/// What one configuration of a topic is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Option<String>,
    /// Whether it was set for this topic, and is not a default.
    pub(crate) is_own: bool,
}

/// A refusal, or no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    /// What Kafka's Java client would throw.
    pub(crate) class: &'static str,
    pub(crate) message: String,
}

impl Error {
    fn new(code: RDKafkaErrorCode, message: String) -> Self {
        Self { class: class(code), message }
    }
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        Self::new(code, error.to_string())
    }
}

/// A client that is used for everything.
#[derive(Clone)]
pub(crate) struct Kafka {
    admin: Arc<Admin>,
    timeout: Duration,
}

impl Kafka {
    pub(crate) fn new(bootstrap_servers: &str, timeout: Duration) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers).set("client.id", "topic-operator");
        Ok(Self { admin: Arc::new(config.create()?), timeout })
    }

    /// The topic, if there is one of that name.
    pub(crate) async fn topic(&self, name: &str) -> Result<Option<Topic>, Error> {
        let asked = name.to_owned();
        let described = self.blocking(move |admin, timeout| native::describe(admin, &asked, timeout)).await?;
        let Some((id, replicas)) = described else { return Ok(None) };
        match self.config(name).await {
            Ok(config) => Ok(Some(Topic { id, replicas, config })),
            // Deleted since it was described.
            Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn config(&self, name: &str) -> KafkaResult<BTreeMap<String, Entry>> {
        let asked = [ResourceSpecifier::Topic(name)];
        let described = self.admin.describe_configs(&asked, &self.options()).await?;
        let mut config = BTreeMap::new();
        for resource in described {
            for entry in resource.map_err(KafkaError::AdminOp)?.entries {
                let is_own = entry.source == ConfigSource::DynamicTopic;
                config.insert(entry.name, Entry { value: entry.value, is_own });
            }
        }
        Ok(config)
    }

    /// Makes a topic. What is not said of it, the brokers' defaults say.
    pub(crate) async fn create(
        &self,
        name: &str,
        partitions: Option<u32>,
        replicas: Option<u16>,
        config: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        let new = move |admin: &Admin, timeout| {
            native::create(admin, &name, (partitions, replicas), &config, timeout)
        };
        self.blocking(new).await
    }

    /// Adds partitions until there are so many.
    pub(crate) async fn grow(&self, name: &str, partitions: u32) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |admin, timeout| native::grow(admin, &name, partitions, timeout)).await
    }

    /// Sets these values, or with `None` takes them back to the brokers' default, and touches no others.
    pub(crate) async fn alter(
        &self,
        name: &str,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |admin, timeout| native::alter(admin, &name, &config, timeout)).await
    }

    /// Deletes a topic, if there is one of that name.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        for deleted in self.admin.delete_topics(&[name], &self.options()).await? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
            }
        }
        Ok(())
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

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Admin, Duration) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Self { admin, timeout } = self.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&admin, timeout)).await;
        asked.unwrap_or_else(|gone| Err(Error::new(RDKafkaErrorCode::Fail, gone.to_string())))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout))
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
        Code::InvalidRequest => "InvalidRequestException",
        Code::InvalidTopic => "InvalidTopicException",
        Code::OperationTimedOut | Code::RequestTimedOut | Code::BrokerTransportFailure => "TimeoutException",
        Code::PolicyViolation => "PolicyViolationException",
        Code::TopicAlreadyExists => "TopicExistsException",
        Code::TopicAuthorizationFailed => "TopicAuthorizationException",
        Code::UnknownTopicOrPartition => "UnknownTopicOrPartitionException",
        _ => "ApiException",
    }
}
