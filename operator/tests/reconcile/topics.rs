//! Topics without Strimzi: of one pipeline each, as declared or with the reason why not.

use fluxo_operator::{
    crd::TransactionPipeline,
    kafka::{
        self,
        topic::{Wanted, plan},
    },
};
use fluxo_testkit::eventually;
use k8s_openapi::api::apps::v1::Deployment;

use crate::{PATIENCE, scene::Scene};

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

#[tokio::test]
async fn drift_of_what_is_declared_is_mended_and_what_is_not_is_left_alone() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let kafka = kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka())).unwrap();
    let found = async || kafka.topic(&scene.topic("transactions")).await.unwrap().unwrap();
    // As somebody who declares these two.
    let somebodys = [("retention.ms", "1000"), ("segment.ms", "3600000")];
    let somebodys = Wanted {
        name: scene.topic("transactions"),
        partitions: 3,
        replicas: 1,
        config: somebodys.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        growth_acknowledged: false,
    };
    for step in plan(&somebodys, Some(&found().await)).steps {
        kafka.take(&step, &somebodys).await.unwrap();
    }
    eventually("what is declared is mended", PATIENCE, async || {
        let config = found().await.config;
        let value = |key: &str| config[key].value.clone();
        (value("retention.ms") == "2592000000" && value("segment.ms") == "3600000").then_some(())
    })
    .await;
}
