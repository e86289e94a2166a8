//! Topics without Strimzi: of one pipeline each, as declared or with the reason why not.

use fluxo_operator::{
    crd::TransactionPipeline,
    kafka::{
        self,
        topic::{Step, Wanted, plan},
    },
};
use fluxo_testkit::eventually;
use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::api::ListParams;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::json;

use crate::{PATIENCE, scene::Scene};

fn in_kafka() -> kafka::Kafka {
    kafka::Kafka::new(kafka::Connection::plaintext(fluxo_testkit::kafka()), "fluxo-tests").unwrap()
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", fluxo_testkit::kafka());
    config
}

/// Writes a record, as somebody does whose topic it is.
fn write_record(topic: &str) {
    let producer: BaseProducer = client().create().unwrap();
    producer.send(BaseRecord::<(), _>::to(topic).partition(0).payload("x")).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// Says that the record was read, as listeners do.
fn commit(topic: &str, group: &str) {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// The topic of transactions, as somebody wants it who declares this of it.
fn somebodys(scene: &Scene, config: &[(&str, &str)]) -> Wanted {
    Wanted {
        name: scene.topic("transactions"),
        partitions: 3,
        replicas: 1,
        config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        growth_acknowledged: false,
    }
}

#[tokio::test]
async fn a_topic_with_records_is_taken_only_when_a_person_says_so() {
    let scene = Scene::start().await;
    let wanted = somebodys(&scene, &[("retention.ms", "86400000")]);
    in_kafka().take(&Step::Create, &wanted).await.unwrap();
    write_record(&wanted.name);
    let found = async || in_kafka().topic(&wanted.name).await.unwrap().unwrap();
    let id = found().await.topic_id;
    scene.make("pagamentos").await;
    let message = scene.until_said("pagamentos", "TopicsReady", "False", "NameConflict").await;
    assert!(message.contains(&format!("fluxo.dev/adopt-topics: {id}")), "{message}");
    assert_eq!(found().await.config["retention.ms"].value, "86400000");
    assert_eq!(in_kafka().topic(&scene.topic("transactions.dlq")).await.unwrap(), None);
    assert!(scene.api::<Deployment>().get_opt("pagamentos-listener").await.unwrap().is_none());
    let says_so = json!({"metadata": {"annotations": {"fluxo.dev/adopt-topics": id}}});
    scene.change::<TransactionPipeline>("pagamentos", says_so).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    assert_eq!(found().await.config["retention.ms"].value, "2592000000");
}

#[tokio::test]
async fn a_retained_topic_with_records_is_taken_up_by_its_name_and_by_no_other() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    let topic = scene.topic("transactions");
    write_record(&topic);
    commit(&topic, &format!("fluxo.{}.pagamentos", scene.namespace.name));
    scene.make("others").await;
    scene.until_said("others", "TopicsReady", "False", "NameConflict").await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let message = scene.until_said("others", "TopicsReady", "False", "AlreadyClaimed").await;
    assert!(message.contains(&format!("{}/pagamentos", scene.namespace.name)), "{message}");
}

#[tokio::test]
async fn a_pipeline_that_is_made_anew_at_once_makes_its_topics_anew() {
    // Nothing that was seen of the first one is taken for the second.
    let scene = Scene::start_with(&["--operator-resync=1h"]).await;
    let mut pipeline = scene.pipeline("pagamentos");
    pipeline["spec"]["kafka"]["deletionPolicy"] = json!("Delete");
    scene.put::<TransactionPipeline>(pipeline.clone()).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let topic = scene.topic("transactions");
    let before = in_kafka().topic(&topic).await.unwrap().unwrap().topic_id;
    scene.delete::<TransactionPipeline>("pagamentos").await;
    scene.until_gone::<TransactionPipeline>("pagamentos").await;
    scene.put::<TransactionPipeline>(pipeline).await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let made = in_kafka().topic(&topic).await.unwrap().unwrap().topic_id;
    assert_ne!(made, before);
    let status = scene.api::<TransactionPipeline>().get("pagamentos").await.unwrap().status.unwrap();
    assert_eq!(status.topic_id, Some(made));
}

#[tokio::test]
async fn topics_are_made_as_declared_and_mended() {
    let scene = Scene::start().await;
    scene.make("pagamentos").await;
    scene.until_said("pagamentos", "TopicsReady", "True", "AsDeclared").await;
    let kafka = in_kafka();
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
    let kafka = in_kafka();
    let found = async || kafka.topic(&scene.topic("transactions")).await.unwrap().unwrap();
    // As somebody who declares these two.
    let somebodys = somebodys(&scene, &[("retention.ms", "1000"), ("segment.ms", "3600000")]);
    for step in plan(&somebodys, Some(&found().await)).steps {
        kafka.take(&step, &somebodys).await.unwrap();
    }
    eventually("what is declared is mended", PATIENCE, async || {
        let config = found().await.config;
        let value = |key: &str| config[key].value.clone();
        (value("retention.ms") == "2592000000" && value("segment.ms") == "3600000").then_some(())
    })
    .await;
    eventually("it is shown", PATIENCE, async || {
        let events = scene.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let told = format!(
            "topic {}: retention.ms was 1000 and is 2592000000 as declared",
            scene.topic("transactions")
        );
        events.iter().any(|event| event.note.as_deref() == Some(&*told)).then_some(())
    })
    .await;
}
