//! A namespace in which a stand-in runs, and topics of its own in Kafka.

use std::{collections::BTreeMap, time::Duration};

use fluxo_testkit::{TestNamespace, TestTopics, eventually};
use fluxo_topic_operator::{KafkaTopic, Settings};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) const WAIT: Duration = Duration::from_mins(1);

pub(crate) struct Cluster {
    pub(crate) namespace: TestNamespace,
    topics: Api<KafkaTopic>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    // Dropped last.
    _made: TestTopics,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let namespace = fluxo_testkit::namespace().await;
        let client = fluxo_testkit::kubernetes().await;
        let cluster = "my-cluster".to_owned();
        let mut settings = Settings::new(namespace.name.clone(), cluster, fluxo_testkit::kafka());
        change(&mut settings);
        let (stop, running) = run(client.clone(), settings);
        let topics = Api::namespaced(client, &namespace.name);
        let made = fluxo_testkit::topics(&namespace.name);
        Self { namespace, topics, stop, running, _made: made }
    }

    /// What the resource and the topic called `name` are really called: Kafka has no namespaces.
    pub(crate) fn real(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace.name)
    }

    pub(crate) async fn create(&self, name: &str, spec: &Value) -> KafkaTopic {
        self.create_with(name, spec, json!({})).await
    }

    pub(crate) async fn create_with(&self, name: &str, spec: &Value, annotations: Value) -> KafkaTopic {
        self.create_labelled(name, spec, annotations, "my-cluster").await
    }

    pub(crate) async fn create_labelled(
        &self,
        name: &str,
        spec: &Value,
        annotations: Value,
        cluster: &str,
    ) -> KafkaTopic {
        let labels = json!({"strimzi.io/cluster": cluster});
        let topic = json!({
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": self.real(name), "labels": labels, "annotations": annotations},
            "spec": spec,
        });
        let topic = serde_json::from_value(topic).unwrap();
        self.topics.create(&PostParams::default(), &topic).await.unwrap()
    }

    pub(crate) async fn change(&self, name: &str, change: Value) {
        let patch = Patch::Merge(change);
        self.topics.patch(&self.real(name), &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.topics.delete(&self.real(name), &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn get(&self, name: &str) -> Option<KafkaTopic> {
        self.topics.get_opt(&self.real(name)).await.unwrap()
    }

    /// Waits until its status is about what it says now.
    pub(crate) async fn answered(&self, name: &str) -> KafkaTopic {
        eventually(&format!("an answer to {name}"), WAIT, async || {
            let topic = self.get(name).await?;
            (topic.status.as_ref()?.observed_generation == topic.metadata.generation).then_some(topic)
        })
        .await
    }

    /// Waits until its condition is this, as `Type=Status Reason`.
    pub(crate) async fn says(&self, name: &str, condition: &str) -> KafkaTopic {
        eventually(&format!("{name} says {condition}"), WAIT, async || {
            let topic = self.get(name).await?;
            let found = topic.status.as_ref()?.conditions.first()?;
            let reason = found.reason.as_deref().unwrap_or_default();
            (format!("{}={} {reason}", found.r#type, found.status).trim() == condition).then_some(topic)
        })
        .await
    }

    pub(crate) async fn is_gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), WAIT, async || self.get(name).await.is_none().then_some(()))
            .await;
    }

    /// The topic in Kafka: its number of partitions, and its own configuration.
    pub(crate) async fn in_kafka(&self, name: &str) -> Option<(usize, BTreeMap<String, String>)> {
        let name = self.real(name);
        let partitions = partitions(name.clone()).await;
        if partitions == 0 {
            return None;
        }
        let asked = [ResourceSpecifier::Topic(&name)];
        let described = admin().describe_configs(&asked, &AdminOptions::new()).await.unwrap();
        let entries = described.into_iter().next().unwrap().unwrap().entries;
        let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        Some((partitions, own.map(|entry| (entry.name, entry.value.unwrap())).collect()))
    }

    /// Changes the configuration behind the back of the stand-in: this is all that the topic then has of its own.
    pub(crate) async fn alter_in_kafka(&self, name: &str, key: &str, value: &str) {
        let name = self.real(name);
        let altered = AlterConfig::new(ResourceSpecifier::Topic(&name)).set(key, value);
        let altered = admin().alter_configs(&[altered], &AdminOptions::new()).await.unwrap();
        altered.into_iter().next().unwrap().unwrap();
    }

    /// Ends the stand-in, and gives back what it ended with.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).unwrap();
        self.running.await.unwrap()
    }
}

fn run(client: Client, settings: Settings) -> (oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { stopped.await.unwrap_or_default() };
    (stop, tokio::spawn(fluxo_topic_operator::run(client, settings, shutdown)))
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", fluxo_testkit::kafka()).create().unwrap()
}

async fn partitions(name: String) -> usize {
    let asked = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", fluxo_testkit::kafka()).set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&name), Duration::from_secs(10)).unwrap();
        metadata.topics()[0].partitions().len()
    });
    asked.await.unwrap()
}

/// What the stand-in is compared by: the resource without what the API server says of it.
pub(crate) fn comparable(topic: &KafkaTopic) -> Value {
    let mut topic = topic.clone();
    topic.managed_fields_mut().clear();
    let mut topic = serde_json::to_value(topic).unwrap();
    let metadata = topic["metadata"].as_object_mut().unwrap();
    for name in ["creationTimestamp", "managedFields", "resourceVersion", "uid"] {
        metadata.remove(name);
    }
    // Written as `null` to be removed, so that is how this type prints what is not there.
    if let Some(status) = topic["status"].as_object_mut() {
        status.retain(|_, value| !value.is_null());
    }
    topic.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    topic
}
