//! A topic of its own for each test.

use std::{sync::LazyLock, time::Duration};

use anyhow::Context;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    metadata::MetadataTopic,
};
use uuid::Uuid;

/// How long the broker may take for anything asked of it here.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A topic, which is deleted with this value unless the test panics.
#[derive(Debug)]
pub struct TestTopic {
    /// Its name.
    pub name: String,
    /// The brokers that have it.
    pub bootstrap_servers: String,
}

/// The topics whose names begin with a prefix, which are deleted with this value unless the test panics.
#[derive(Debug)]
pub struct TestTopics {
    /// What their names begin with.
    pub prefix: String,
}

/// One for all tests of a process: connecting takes longer than making a topic.
static ADMIN: LazyLock<AdminClient<DefaultClientContext>> = LazyLock::new(|| {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka()).set("client.id", "fluxo-testkit");
    config.create().expect("an admin client needs nothing but the name of a broker")
});

/// The brokers of `FLUXO_TEST_KAFKA`, as `host:port`.
///
/// # Panics
/// When the variable is missing.
pub fn kafka() -> String {
    crate::variable("FLUXO_TEST_KAFKA")
}

/// Makes an empty topic with so many partitions, each of which has its leader when this returns.
///
/// # Panics
/// When the variable is missing or the broker does not make it.
#[allow(clippy::panic, reason = "without its server a test has failed")]
pub async fn topic(partitions: i32) -> TestTopic {
    let name = format!("fluxo-test-{}", Uuid::new_v4().simple());
    create(&name, partitions)
        .await
        .unwrap_or_else(|error| panic!("cannot make a topic on FLUXO_TEST_KAFKA: {error:#}"));
    crate::eventually("a leader of every partition", TIMEOUT, async || has_leaders(&name, partitions).await)
        .await;
    TestTopic { name, bootstrap_servers: kafka() }
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
        ADMIN.delete_records(&before, &options()).await.expect("the broker deletes records");
    }

    /// Deletes it and makes it again: another topic, under its name.
    ///
    /// # Panics
    /// When the broker does not.
    pub async fn make_anew(&self, partitions: i32) {
        delete(&self.name).await.expect("the broker deletes the topic");
        let made = async || create(&self.name, partitions).await.ok();
        crate::eventually("the topic made anew", TIMEOUT, made).await;
        let led = async || has_leaders(&self.name, partitions).await;
        crate::eventually("a leader of every partition", TIMEOUT, led).await;
    }
}

impl Drop for TestTopic {
    fn drop(&mut self) {
        let what = format!("the topic {} on {}", self.name, self.bootstrap_servers);
        crate::clean_up(&what, delete(&self.name));
    }
}

impl Drop for TestTopics {
    fn drop(&mut self) {
        let what = format!("the topics {}* on {}", self.prefix, kafka());
        crate::clean_up(&what, delete_all(&self.prefix));
    }
}

async fn create(name: &str, partitions: i32) -> anyhow::Result<()> {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let created = ADMIN.create_topics([&topic], &options()).await?;
    outcome(created)
}

async fn delete(name: &str) -> anyhow::Result<()> {
    let deleted = ADMIN.delete_topics(&[name], &options()).await?;
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
async fn has_leaders(name: &str, partitions: i32) -> Option<()> {
    let name = name.to_owned();
    let asked = tokio::task::spawn_blocking(move || ADMIN.inner().fetch_metadata(Some(&name), TIMEOUT)).await;
    let metadata = asked.ok()?.ok()?;
    let topic = metadata.topics().first()?;
    let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
    (usize::try_from(partitions) == Ok(led)).then_some(())
}
