//! What a test gets is its own, and is gone after it.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

use std::time::Duration;

use fluxo_testkit::{database, eventually, kubernetes, namespace, topic};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, api::PostParams};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use sea_orm::{ConnectionTrait, Database};

#[tokio::test]
async fn each_database_is_empty_and_gone_after_the_test() {
    let (one, other) = tokio::join!(database(), database());
    assert_ne!(one.url, other.url);
    let connection = Database::connect(&one.url).await.unwrap();
    connection.execute_unprepared("CREATE TABLE mine (id INT)").await.unwrap();
    let url = one.url.clone();
    drop(one);
    assert!(Database::connect(&url).await.is_err(), "{url} is still there");
}

#[tokio::test]
async fn each_topic_has_its_partitions_and_is_gone_after_the_test() {
    let (one, other) = tokio::join!(topic(3), topic(1));
    assert_ne!(one.name, other.name);
    let name = one.name.clone();
    assert_eq!(partitions(&name).await, 3);
    assert_eq!(partitions(&other.name).await, 1);
    drop(one);
    eventually("the topic is gone", Duration::from_secs(30), async || {
        (partitions(&name).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_namespace_is_gone_after_the_test_with_what_waits_for_an_operator() {
    let client = kubernetes().await;
    let (one, other) = tokio::join!(namespace(), namespace());
    assert_ne!(one.name, other.name);
    let waits: ConfigMap = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "waits", "finalizers": ["fluxo.dev/nobody-comes"]},
    }))
    .unwrap();
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), &one.name);
    config_maps.create(&PostParams::default(), &waits).await.unwrap();
    let name = one.name.clone();
    drop(one);
    let namespaces = Api::<Namespace>::all(client);
    eventually("the namespace is gone", Duration::from_mins(1), async || {
        namespaces.get_opt(&name).await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn partitions(topic: &str) -> usize {
    let topic = topic.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", fluxo_testkit::kafka()).set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10)).unwrap();
        metadata.topics()[0].partitions().len()
    });
    asked.await.unwrap()
}
