//! The end of a pipeline, with each policy for its topics.

use fluxo_operator::{crd::TransactionPipeline, kafka};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde_json::json;

use crate::scene::Scene;

fn kafka() -> kafka::Kafka {
    kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka()), "fluxo-tests").unwrap()
}

/// Makes a pipeline whose topics go with it.
async fn make_with_delete(scene: &Scene) {
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    scene.put::<TransactionPipeline>(pipeline).await;
}

#[tokio::test]
async fn retain_keeps_the_topics_and_holds_the_pipeline_by_nothing() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let pipeline = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap();
    assert!(pipeline.finalizers().is_empty());
    let before = kafka().topic(&scene.topic("transactions")).await.unwrap().unwrap();
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<k8s_openapi::api::apps::v1::Deployment>("pagamentos-listener").await;
    let after = kafka().topic(&scene.topic("transactions")).await.unwrap().unwrap();
    assert_eq!(after.topic_id, before.topic_id);
    // The next of its name takes it up.
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let again = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap();
    assert_eq!(again.status.unwrap().topic_id, Some(before.topic_id));
}

#[tokio::test]
async fn delete_deletes_the_topics_and_then_lets_the_pipeline_go() {
    let scene = Scene::start().await;
    make_with_delete(&scene).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let is_held = |pipeline: &TransactionPipeline| pipeline.finalizers() == ["fluxo.dev/topics"];
    scene.until::<TransactionPipeline>("pagamentos", "it is held", is_held).await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    for topic in ["transactions", "transactions.dlq"] {
        assert_eq!(kafka().topic(&scene.topic(topic)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_pipeline_that_retains_after_all_is_held_no_longer() {
    let scene = Scene::start().await;
    make_with_delete(&scene).await;
    let is_held = |pipeline: &TransactionPipeline| !pipeline.finalizers().is_empty();
    scene.until::<TransactionPipeline>("pagamentos", "it is held", is_held).await;
    let retain = json!({"spec": {"kafka": {"deletionPolicy": "Retain"}}});
    scene.change::<TransactionPipeline>("pagamentos", retain).await;
    scene.until::<TransactionPipeline>("pagamentos", "it is held no longer", |now| !is_held(now)).await;
}

#[tokio::test]
async fn topics_go_though_all_secrets_went_before_as_they_do_with_a_namespace() {
    let scene = Scene::start().await;
    make_with_delete(&scene).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    for secret in ["mysql", "keys"] {
        scene.delete::<Secret>(secret).await;
    }
    scene.until_said("pagamentos", "Ready", "False", "ReferenceNotFound").await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    assert_eq!(kafka().topic(&scene.topic("transactions")).await.unwrap(), None);
}
