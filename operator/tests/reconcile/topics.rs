//! Topics: of one pipeline each, as declared or with the reason why not, beside Strimzi and without it.

use fluxo_operator::{
    controller::model::strimzi::{Kafka, KafkaTopic, KafkaUser},
    crd::TransactionPipeline,
    kafka,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::scene::Scene;

#[tokio::test]
async fn topics_are_made_as_declared_and_mended() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let kafka = kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka())).unwrap();
    let found = kafka.topic(&scene.topic("transactions")).await.unwrap().unwrap();
    assert_eq!((found.partitions(), &*found.config["retention.ms"].value), (3, "2592000000"));
    let pipeline = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap();
    assert_eq!(pipeline.status.unwrap().topic_id, Some(found.topic_id));
    let dead_letter = kafka.topic(&scene.topic("transactions.dlq")).await.unwrap();
    assert!(dead_letter.is_some());
}

#[tokio::test]
async fn two_pipelines_with_one_topic_are_one_ready_and_one_already_claimed() {
    let scene = Scene::start().await;
    scene.make("first").await;
    scene.until_said("first", "TopicsReady", "True", "AsDeclared").await;
    scene.make("second").await;
    let message = scene.until_said("second", "Ready", "False", "AlreadyClaimed").await;
    assert!(message.contains(&format!("{}/first", scene.namespace.name)), "{message}");
    assert!(scene.api::<Deployment>().get_opt("second-listener").await.unwrap().is_none());
    scene.until_said("first", "TopicsReady", "True", "AsDeclared").await;
}

/// A cluster of Strimzi's that is ready, in the namespace of the pipelines.
async fn strimzi(scene: &Scene) {
    let kafka = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"name": "eventos"},
        "spec": {"kafka": {"listeners": [{"name": "plain", "port": 9092, "type": "internal", "tls": false}]}},
    });
    scene.put::<Kafka>(kafka).await;
    scene
        .secret(
            "eventos-cluster-ca-cert",
            &[("ca.crt", "-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----\n")],
        )
        .await;
    let listeners = json!([{"name": "plain", "bootstrapServers": fluxo_testkit::kafka()}]);
    let ready = json!([{"type": "Ready", "status": "True"}]);
    scene
        .say::<Kafka>("eventos", json!({"listeners": listeners, "conditions": ready, "clusterId": "cluster"}))
        .await;
}

fn beside_strimzi(scene: &Scene, name: &str) -> Value {
    let mut pipeline = scene.pipeline(name);
    pipeline["spec"]["kafka"] = json!({
        "strimzi": {"cluster": "eventos"},
        "topic": {"name": "transactions", "partitions": 3, "replicas": 1},
    });
    pipeline
}

/// Answers as Strimzi's Topic Operator does.
async fn answer(scene: &Scene, topic: &str, condition: Value) {
    let asked = scene.until::<KafkaTopic>(topic, "the KafkaTopic is made", |_| true).await;
    let status = json!({
        "conditions": [condition], "observedGeneration": asked.metadata.generation, "topicName": topic, "topicId": topic,
    });
    scene.say::<KafkaTopic>(topic, status).await;
}

#[tokio::test]
async fn what_strimzi_says_of_a_topic_is_what_the_condition_says() {
    let scene = Scene::start().await;
    strimzi(&scene).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    scene.until_said("pagamentos", "TopicsReady", "False", "TopicPending").await;
    let ready = json!({"type": "Ready", "status": "True"});
    answer(&scene, "transactions.dlq", ready.clone()).await;
    let refused = json!({"type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported"});
    answer(&scene, "transactions", refused).await;
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "NotSupported").await;
    assert!(message.contains("Decreasing partitions not supported"), "{message}");
    answer(&scene, "transactions", ready).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let pipeline = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap();
    let status = pipeline.status.unwrap();
    assert_eq!(
        (status.topic_id.as_deref(), status.cluster_id.as_deref()),
        (Some("transactions"), Some("cluster"))
    );
}

#[tokio::test]
async fn a_kafka_topic_of_nobody_is_refused_until_it_is_handed_over() {
    let scene = Scene::start().await;
    strimzi(&scene).await;
    let foreign = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": "transactions", "labels": {"strimzi.io/cluster": "eventos"}},
        "spec": {"partitions": 3},
    });
    let foreign = scene.put::<KafkaTopic>(foreign).await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "NameConflict").await;
    assert!(message.contains("fluxo.dev/pipeline"), "{message}");
    let now = scene.api::<KafkaTopic>().get("transactions").await.unwrap();
    assert_eq!(now.resource_version(), foreign.resource_version());
    let labels =
        json!({"fluxo.dev/pipeline": "pagamentos", "fluxo.dev/pipeline-namespace": scene.namespace.name});
    scene.change::<KafkaTopic>("transactions", json!({"metadata": {"labels": labels}})).await;
    scene.until_said("pagamentos", "TopicsReady", "False", "TopicPending").await;
}

#[tokio::test]
async fn a_missing_cluster_is_named_and_is_found_when_it_comes() {
    let scene = Scene::start().await;
    scene.put::<TransactionPipeline>(beside_strimzi(&scene, "pagamentos")).await;
    let message = scene.until_said("pagamentos", "Ready", "False", "ReferenceNotFound").await;
    assert!(message.contains("eventos"), "{message}");
    strimzi(&scene).await;
    scene.until_said("pagamentos", "TopicsReady", "False", "TopicPending").await;
}

#[tokio::test]
async fn the_copy_of_what_strimzi_keeps_goes_with_the_user_that_it_was_for() {
    let scene = Scene::start().await;
    strimzi(&scene).await;
    let scram = json!({"name": "scram", "port": 9093, "type": "internal", "tls": false,
        "authentication": {"type": "scram-sha-512"}});
    let plain = json!({"name": "plain", "port": 9092, "type": "internal", "tls": false});
    let listeners = json!({"spec": {"kafka": {"listeners": [plain, scram]}}});
    scene.change::<Kafka>("eventos", listeners).await;
    let address = |name: &str| json!({"name": name, "bootstrapServers": fluxo_testkit::kafka()});
    scene.say::<Kafka>("eventos", json!({"listeners": [address("plain"), address("scram")]})).await;
    scene.secret("fluxo", &[("password", "geheim")]).await;
    let user = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "metadata": {"name": "fluxo"},
        "spec": {"authentication": {"type": "scram-sha-512"}},
    });
    scene.put::<KafkaUser>(user).await;
    let mut pipeline = beside_strimzi(&scene, "pagamentos");
    pipeline["spec"]["kafka"]["strimzi"]["user"] = json!("fluxo");
    // Without pods a rollout ends by itself.
    pipeline["spec"]["api"]["replicas"] = json!(0);
    pipeline["spec"]["listener"] = json!({"scaling": {"mode": "Fixed"}, "replicas": 0});
    scene.put::<TransactionPipeline>(pipeline).await;
    let keys = |secret: &Secret| secret.data.iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let copy = scene.until::<Secret>("pagamentos-kafka", "the password is copied", |_| true).await;
    assert_eq!(keys(&copy), ["password"]);
    scene.until::<Deployment>("pagamentos-listener", "the listeners are made", |_| true).await;
    let nobody = json!({"spec": {"kafka": {"strimzi": {"user": null}}}});
    scene.change::<TransactionPipeline>("pagamentos", nobody).await;
    scene.until_gone::<Secret>("pagamentos-kafka").await;
    // Strimzi's own is not the operator's to delete.
    assert!(scene.api::<Secret>().get_opt("fluxo").await.unwrap().is_some());
}
