//! A topic of its own for each test.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use anyhow::Context;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    metadata::MetadataTopic,
};
use uuid::Uuid;

/// How long the broker may take for anything asked of it here.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A topic, which is deleted with this value unless the test panics.
pub struct TestTopic {
    /// Its name.
    pub name: String,
    /// The brokers that have it.
    pub bootstrap_servers: String,
    admin: &'static Admin,
}

/// How brokers are reached that want TLS and a user who logs in by SCRAM-SHA-512.
#[derive(Clone, Debug)]
pub struct Login {
    /// The brokers, as `host:port`.
    pub bootstrap_servers: String,
    /// The user.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// PEM file of the authority that signed the brokers' certificates.
    pub authority: PathBuf,
}

/// What asks brokers to make and delete topics.
pub(crate) type Admin = LazyLock<AdminClient<DefaultClientContext>>;

/// The topics whose names begin with a prefix, which are deleted with this value unless the test panics.
#[derive(Debug)]
pub struct TestTopics {
    /// What their names begin with.
    pub prefix: String,
}

/// One for all tests of a process: connecting takes longer than making a topic.
static ADMIN: Admin = LazyLock::new(|| {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka()).set("client.id", "fluxo-testkit");
    config.create().expect("an admin client needs nothing but the name of a broker")
});
pub(crate) static SECURE_ADMIN: Admin = LazyLock::new(|| {
    let mut config = secure_kafka().client();
    config.set("client.id", "fluxo-testkit");
    config.create().expect("the authority is there, and the rest is needed by nobody before it is used")
});

impl Login {
    /// The settings of a client that logs in so.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", &self.username)
            .set("sasl.password", &self.password)
            .set("ssl.ca.location", self.authority.display().to_string());
        config
    }
}

/// The brokers of `FLUXO_TEST_KAFKA`, as `host:port`.
///
/// # Panics
/// When the variable is missing.
pub fn kafka() -> String {
    crate::variable("FLUXO_TEST_KAFKA")
}

/// The brokers of `FLUXO_TEST_KAFKA_SASL`, as `user:password@host:port`, and of `FLUXO_TEST_KAFKA_CA`.
///
/// # Panics
/// When a variable is missing.
pub fn secure_kafka() -> Login {
    let named = crate::variable("FLUXO_TEST_KAFKA_SASL");
    let parts = named.rsplit_once('@').and_then(|(user, brokers)| Some((user.split_once(':')?, brokers)));
    let ((username, password), brokers) = parts.expect("FLUXO_TEST_KAFKA_SASL is user:password@host:port");
    Login {
        bootstrap_servers: brokers.into(),
        username: username.into(),
        password: password.into(),
        authority: crate::variable("FLUXO_TEST_KAFKA_CA").into(),
    }
}

/// Makes an empty topic with so many partitions, each of which has its leader when this returns.
///
/// # Panics
/// When the variable is missing or the broker does not make it.
pub async fn topic(partitions: i32) -> TestTopic {
    topic_of(&ADMIN, kafka(), partitions).await
}

/// As [`topic`], on the brokers of [`secure_kafka`].
///
/// # Panics
/// When a variable is missing or the broker does not make it.
pub async fn secure_topic(partitions: i32) -> TestTopic {
    topic_of(&SECURE_ADMIN, secure_kafka().bootstrap_servers, partitions).await
}

#[allow(clippy::panic, reason = "without its server a test has failed")]
async fn topic_of(admin: &'static Admin, bootstrap_servers: String, partitions: i32) -> TestTopic {
    let name = format!("fluxo-test-{}", Uuid::new_v4().simple());
    create(admin, &name, partitions)
        .await
        .unwrap_or_else(|error| panic!("cannot make a topic on {bootstrap_servers}: {error:#}"));
    let led = async || has_leaders(admin, &name, partitions).await;
    crate::eventually("a leader of every partition", TIMEOUT, led).await;
    TestTopic { name, bootstrap_servers, admin }
}

/// Stands for topics that what is tested makes: all those whose names begin with `prefix`, when this is dropped.
pub fn topics(prefix: &str) -> TestTopics {
    TestTopics { prefix: prefix.to_owned() }
}

impl TestTopic {
    /// Deletes the records of a partition before an offset, as retention does.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn delete_before(&self, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        let added = before.add_partition_offset(&self.name, partition, Offset::Offset(offset));
        added.expect("an offset is a number");
        self.admin.delete_records(&before, &options()).await.expect("the broker deletes records");
    }

    /// Deletes it and makes it again: another topic, under its name.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn make_anew(&self, partitions: i32) {
        delete(self.admin, &self.name).await.expect("the broker deletes the topic");
        // Or the one before would be taken for it.
        let gone = async || has_leaders(self.admin, &self.name, 0).await;
        crate::eventually("the end of the topic", TIMEOUT, gone).await;
        let made = async || create(self.admin, &self.name, partitions).await.ok();
        crate::eventually("the topic made anew", TIMEOUT, made).await;
        let led = async || has_leaders(self.admin, &self.name, partitions).await;
        crate::eventually("a leader of every partition", TIMEOUT, led).await;
    }
}

impl Drop for TestTopic {
    fn drop(&mut self) {
        let what = format!("the topic {} on {}", self.name, self.bootstrap_servers);
        crate::clean_up(&what, delete(self.admin, &self.name));
    }
}

impl Drop for TestTopics {
    fn drop(&mut self) {
        let what = format!("the topics {}* on {}", self.prefix, kafka());
        crate::clean_up(&what, delete_all(&self.prefix));
    }
}

async fn create(admin: &Admin, name: &str, partitions: i32) -> anyhow::Result<()> {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &options()).await?;
    outcome(created)
}

async fn delete(admin: &Admin, name: &str) -> anyhow::Result<()> {
    let deleted = admin.delete_topics(&[name], &options()).await?;
    outcome(deleted)
}

async fn delete_all(prefix: &str) -> anyhow::Result<()> {
    // Blocks: whoever cleans up has nothing else to do.
    let metadata = ADMIN.inner().fetch_metadata(None, TIMEOUT)?;
    let names = metadata.topics().iter().map(MetadataTopic::name);
    let names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    if names.is_empty() {
        return Ok(());
    }
    outcome(ADMIN.delete_topics(&names, &options()).await?)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

fn outcome(of_topics: Vec<rdkafka::admin::TopicResult>) -> anyhow::Result<()> {
    for of_topic in of_topics {
        of_topic.map_err(|(_, code)| code).context("the broker refuses")?;
    }
    Ok(())
}

/// Whether the broker tells every partition with its leader.
async fn has_leaders(admin: &'static Admin, name: &str, partitions: i32) -> Option<()> {
    let name = name.to_owned();
    let asked = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(Some(&name), TIMEOUT)).await;
    let metadata = asked.ok()?.ok()?;
    let topic = metadata.topics().first()?;
    let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
    (usize::try_from(partitions) == Ok(led)).then_some(())
}
