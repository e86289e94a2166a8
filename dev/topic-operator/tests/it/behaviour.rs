//! What follows from the answers, but is in none of the files.

use std::time::Duration;

use fluxo_testkit::eventually;
use serde_json::json;

use crate::cluster::{Cluster, WAIT};

/// Often enough for a test.
const RESYNC: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_deleted_resource_takes_its_topic_with_it() {
    let cluster = Cluster::start().await;
    cluster.create("kept", &json!({})).await;
    cluster.says("kept", "Ready=True").await;
    cluster.delete("kept").await;
    cluster.is_gone("kept").await;
    assert_eq!(cluster.in_kafka("kept").await, None);
}

#[tokio::test]
async fn what_changed_in_kafka_alone_is_changed_back() {
    let cluster = Cluster::start_with(|settings| settings.resync = RESYNC).await;
    cluster.create("drifted", &json!({"config": {"retention.ms": 7_200_000}})).await;
    cluster.says("drifted", "Ready=True").await;
    let declared = cluster.in_kafka("drifted").await;
    // Takes `retention.ms` back to its default, too.
    cluster.alter_in_kafka("drifted", "cleanup.policy", "compact").await;
    eventually("what was declared", WAIT, async || {
        (cluster.in_kafka("drifted").await == declared).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_change_does_not_hold_up_the_others() {
    let cluster = Cluster::start().await;
    cluster.create("mixed", &json!({"partitions": 2})).await;
    cluster.says("mixed", "Ready=True").await;
    cluster.change("mixed", json!({"spec": {"partitions": 1, "config": {"retention.ms": "60000"}}})).await;
    cluster.says("mixed", "Ready=False NotSupported").await;
    let config = [("retention.ms".to_owned(), "60000".to_owned())].into();
    assert_eq!(cluster.in_kafka("mixed").await, Some((2, config)));
}

#[tokio::test]
async fn a_renamed_topic_can_be_deleted_only_under_its_first_name() {
    let cluster = Cluster::start().await;
    cluster.create("first", &json!({"partitions": 1})).await;
    cluster.says("first", "Ready=True").await;
    cluster.change("first", json!({"spec": {"topicName": cluster.real("second")}})).await;
    cluster.says("first", "Ready=False NotSupported").await;
    cluster.delete("first").await;
    // By then it had its turn.
    cluster.answered("first").await;
    assert!(cluster.in_kafka("first").await.is_some());
    cluster.change("first", json!({"spec": {"topicName": null}})).await;
    cluster.is_gone("first").await;
    assert_eq!(cluster.in_kafka("first").await, None);
}

#[tokio::test]
async fn a_pause_ends_with_what_was_declared_meanwhile() {
    let cluster = Cluster::start().await;
    let pause = |value| json!({"metadata": {"annotations": {"strimzi.io/pause-reconciliation": value}}});
    cluster.create("paused", &json!({"partitions": 1})).await;
    cluster.says("paused", "Ready=True").await;
    cluster.change("paused", pause("true")).await;
    cluster.says("paused", "ReconciliationPaused=True").await;
    cluster.change("paused", json!({"spec": {"partitions": 2}})).await;
    cluster.answered("paused").await;
    assert_eq!(cluster.in_kafka("paused").await.unwrap().0, 1);
    cluster.change("paused", pause("false")).await;
    cluster.says("paused", "Ready=True").await;
    assert_eq!(cluster.in_kafka("paused").await.unwrap().0, 2);
}

#[tokio::test]
async fn a_topic_passes_to_the_next_resource_that_asks_for_it() {
    let cluster = Cluster::start_with(|settings| settings.resync = RESYNC).await;
    let spec = json!({"topicName": cluster.real("shared")});
    cluster.create("first", &spec).await;
    cluster.says("first", "Ready=True").await;
    cluster.create("second", &spec).await;
    cluster.says("second", "Ready=False ResourceConflict").await;
    cluster.delete("first").await;
    cluster.is_gone("first").await;
    cluster.says("second", "Ready=True").await;
    assert!(cluster.in_kafka("shared").await.is_some());
}

#[tokio::test]
async fn a_kafka_that_is_away_is_said_and_waited_for() {
    let nobody = "127.0.0.1:1".to_owned();
    let change = |settings: &mut fluxo_topic_operator::Settings| {
        settings.bootstrap_servers = nobody;
        settings.kafka_timeout = RESYNC;
    };
    let cluster = Cluster::start_with(change).await;
    cluster.create("early", &json!({})).await;
    let topic = cluster.says("early", "Ready=False KafkaError").await;
    let message = topic.status.unwrap().conditions[0].message.clone().unwrap();
    assert!(message.starts_with("org.apache.kafka.common.errors.TimeoutException: "), "{message}");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let cluster = Cluster::start().await;
    cluster.create("answered", &json!({})).await;
    cluster.says("answered", "Ready=True").await;
    cluster.stop().await.unwrap();
}
