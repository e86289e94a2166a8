//! The stand-in answers as the real one was seen to: each file in `observed/` is what became of one `KafkaTopic`, and
//! here the same is done again.

use std::collections::BTreeMap;

use fluxo_topic_operator::KafkaTopic;
use serde_json::{Value, json};

use crate::cluster::{Cluster, comparable};

/// Compares resources with what was observed.
struct Observed<'a> {
    cluster: &'a Cluster,
    /// Which observed id the id of a topic here stands for.
    ids: BTreeMap<String, String>,
}

impl<'a> Observed<'a> {
    fn by(cluster: &'a Cluster) -> Self {
        Self { cluster, ids: BTreeMap::new() }
    }

    /// Asserts that a resource is what was observed, but for times, generated names, and ids: these only have to differ
    /// or be the same as those that were observed.
    fn assert(&mut self, file: &str, topic: &KafkaTopic) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/observed");
        let observed = std::fs::read_to_string(format!("{folder}/{file}.json")).unwrap();
        // Where the message has it, the namespace is the one in which it really was.
        let mut observed: Value = serde_json::from_str(&observed.replace("strimzi-check", "kafka")).unwrap();
        let found = comparable(topic).to_string();
        let found = found.replace(&self.cluster.real(""), "").replace(&self.cluster.namespace.name, "kafka");
        let mut found: Value = serde_json::from_str(&found).unwrap();
        for condition in [&mut observed, &mut found] {
            let Some(time) = condition.pointer_mut("/status/conditions/0/lastTransitionTime") else {
                continue;
            };
            assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{file}: {time}");
            *time = json!("a time");
        }
        if let Some(id) = found.pointer_mut("/status/topicId") {
            let expected = observed.pointer("/status/topicId").and_then(Value::as_str).unwrap_or("none");
            let id_here = id.as_str().unwrap().to_owned();
            let known = self.ids.entry(id_here).or_insert_with(|| expected.to_owned());
            *id = json!(known);
        }
        assert_eq!(found, observed, "{file}");
    }
}

#[tokio::test]
async fn the_life_of_a_topic_is_as_observed() {
    let cluster = Cluster::start().await;
    let mut observed = Observed::by(&cluster);
    let name = "transactions";
    let config = |retention: &str| {
        let config = [("cleanup.policy", "delete"), ("retention.ms", retention)];
        config.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };

    let spec = json!({"partitions": 6, "replicas": 1, "config": {"cleanup.policy": "delete", "retention.ms": 7_200_000}});
    cluster.create(name, &spec).await;
    observed.assert("1-created", &cluster.answered(name).await);
    assert_eq!(cluster.in_kafka(name).await, Some((6, config("7200000"))));

    cluster.change(name, json!({"spec": {"partitions": 3}})).await;
    observed.assert("2-decrease", &cluster.answered(name).await);
    assert_eq!(cluster.in_kafka(name).await, Some((6, config("7200000"))));

    cluster.change(name, json!({"spec": {"partitions": 8, "config": {"retention.ms": 3_600_000}}})).await;
    observed.assert("3-increase", &cluster.answered(name).await);
    assert_eq!(cluster.in_kafka(name).await, Some((8, config("3600000"))));

    cluster.change(name, json!({"spec": {"replicas": 3}})).await;
    observed.assert("4-replicas", &cluster.answered(name).await);

    let unmanaged = json!({"strimzi.io/managed": "false"});
    cluster.change(name, json!({"metadata": {"annotations": unmanaged}, "spec": {"replicas": 1}})).await;
    observed.assert("5-unmanaged", &cluster.answered(name).await);

    cluster.delete(name).await;
    cluster.is_gone(name).await;
    assert_eq!(cluster.in_kafka(name).await, Some((8, config("3600000"))));
    let mut again = spec;
    again["partitions"] = json!(8);
    cluster.create(name, &again).await;
    observed.assert("6-adopted", &cluster.answered(name).await);
    assert_eq!(cluster.in_kafka(name).await, Some((8, config("7200000"))));
}

#[tokio::test]
async fn two_resources_for_one_topic_are_answered_as_observed() {
    let cluster = Cluster::start().await;
    let mut observed = Observed::by(&cluster);
    let spec = json!({"partitions": 1, "replicas": 1, "topicName": cluster.real("shared")});
    cluster.create("dup1", &spec).await;
    observed.assert("dup1", &cluster.answered("dup1").await);
    cluster.create("dup2", &spec).await;
    observed.assert("dup2", &cluster.answered("dup2").await);
    observed.assert("dup1", &cluster.answered("dup1").await);
}

#[tokio::test]
async fn a_topic_of_another_cluster_is_ignored_as_observed() {
    let cluster = Cluster::start().await;
    let spec = json!({"partitions": 1, "replicas": 1});
    cluster.create_labelled("otherlabel", &spec, json!({}), "else").await;
    // By then it had its turn.
    cluster.create("later", &spec).await;
    cluster.answered("later").await;
    Observed::by(&cluster).assert("otherlabel", &cluster.get("otherlabel").await.unwrap());
    assert_eq!(cluster.in_kafka("otherlabel").await, None);
}

#[tokio::test]
async fn another_name_is_refused_as_observed() {
    let cluster = Cluster::start().await;
    let named = |name: &str| json!({"partitions": 1, "replicas": 1, "topicName": cluster.real(name)});
    cluster.create("rename", &named("a")).await;
    cluster.answered("rename").await;
    cluster.change("rename", json!({"spec": named("b")})).await;
    Observed::by(&cluster).assert("rename", &cluster.answered("rename").await);
    assert_eq!((cluster.in_kafka("a").await.is_some(), cluster.in_kafka("b").await), (true, None));
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused_as_observed() {
    let cluster = Cluster::start().await;
    cluster.create("rf3", &json!({"partitions": 1, "replicas": 3})).await;
    Observed::by(&cluster).assert("rf3", &cluster.answered("rf3").await);
}

#[tokio::test]
async fn a_configuration_that_kafka_refuses_is_answered_as_observed() {
    let cluster = Cluster::start().await;
    let spec = json!({"partitions": 1, "replicas": 1, "config": {"retention.ms": "abc"}});
    cluster.create("badconf", &spec).await;
    Observed::by(&cluster).assert("badconf", &cluster.answered("badconf").await);
}

#[tokio::test]
async fn a_paused_topic_is_left_alone_as_observed() {
    let cluster = Cluster::start().await;
    let paused = json!({"strimzi.io/pause-reconciliation": "true"});
    cluster.create_with("paused", &json!({"partitions": 1, "replicas": 1}), paused).await;
    Observed::by(&cluster).assert("paused", &cluster.answered("paused").await);
    assert_eq!(cluster.in_kafka("paused").await, None);
}

#[tokio::test]
async fn what_is_not_said_of_a_topic_the_brokers_say_as_observed() {
    let cluster = Cluster::start().await;
    cluster.create("defaults", &json!({})).await;
    Observed::by(&cluster).assert("defaults", &cluster.answered("defaults").await);
    assert_eq!(cluster.in_kafka("defaults").await, Some((1, BTreeMap::new())));
}
